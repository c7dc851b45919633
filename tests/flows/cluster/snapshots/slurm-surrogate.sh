#!/bin/bash -l

#SBATCH -J defect-surrogate-surrogate
#SBATCH -e /shared/run/workers/logs/defect-surrogate-surrogate-%J.err
#SBATCH -o /shared/run/workers/logs/defect-surrogate-surrogate-%J.out
#SBATCH -p gpu
#SBATCH -A my-project
#SBATCH --mem=30518M
#SBATCH -t 08:00:00
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=8
#SBATCH --gres=gpu:1
#SBATCH --open-mode=append
umask 027
export DEFECT_SURROGATE_JOB_ENDS=$(($(date +%s) + 28800))
export PYTHONWARNINGS=ignore
export MALLOC_TRIM_THRESHOLD_=1073741824
export MALLOC_MMAP_THRESHOLD_=33554432
export DO_NOT_TRACK=1
export OMP_NUM_THREADS=8
python -m distributed.cli.dask_worker tls://10.1.2.3:8786 --name w-surrogate-1 --nthreads 1 --memory-limit 0.0B --nanny --death-timeout 60 --local-directory /shared/run/workers/dask --no-dashboard --interface ib0 --tls-ca-file=/shared/run/workers/certificate.pem --tls-cert=/shared/run/workers/certificate.pem --tls-key=/shared/run/workers/key.pem
