#!/bin/bash -l

#SBATCH -J defect-surrogate-reference
#SBATCH -e /shared/run/workers/logs/defect-surrogate-reference-%J.err
#SBATCH -o /shared/run/workers/logs/defect-surrogate-reference-%J.out
#SBATCH -p cpu
#SBATCH -A my-project
#SBATCH --mem=190735M
#SBATCH -t 24:00:00
#SBATCH --nodes=1
#SBATCH --ntasks=64
#SBATCH --cpus-per-task=1
#SBATCH --open-mode=append
umask 027
export DEFECT_SURROGATE_JOB_ENDS=$(($(date +%s) + 86400))
module load vasp/6.4.3
export PYTHONWARNINGS=ignore
export MALLOC_TRIM_THRESHOLD_=1073741824
export MALLOC_MMAP_THRESHOLD_=33554432
export DO_NOT_TRACK=1
export OMP_NUM_THREADS=1
python -m distributed.cli.dask_worker tls://10.1.2.3:8786 --name w-reference-1 --nthreads 1 --memory-limit 0.0B --nanny --death-timeout 60 --local-directory /shared/run/workers/dask --no-dashboard --interface ib0 --tls-ca-file=/shared/run/workers/certificate.pem --tls-cert=/shared/run/workers/certificate.pem --tls-key=/shared/run/workers/key.pem
