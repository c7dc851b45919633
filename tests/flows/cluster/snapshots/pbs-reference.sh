#!/bin/bash -l

#PBS -N defect-surrogate-reference
#PBS -q normal
#PBS -A my-project
#PBS -l select=2:ncpus=64:mpiprocs=64:ompthreads=1:mem=190735mb
#PBS -l walltime=24:00:00
#PBS -e /shared/run/workers/logs/
#PBS -o /shared/run/workers/logs/
#PBS -l place=scatter
#PBS -r n
umask 027
export DEFECT_SURROGATE_JOB_ENDS=$(($(date +%s) + 86400))
module load vasp/6.4.3
export PYTHONWARNINGS=ignore
export MALLOC_TRIM_THRESHOLD_=1073741824
export MALLOC_MMAP_THRESHOLD_=33554432
export DO_NOT_TRACK=1
export OMP_NUM_THREADS=1
python -m distributed.cli.dask_worker tls://10.1.2.3:8786 --name w-reference-1 --nthreads 1 --memory-limit 0.0B --nanny --death-timeout 60 --local-directory /shared/run/workers/dask --no-dashboard --interface ib0 --tls-ca-file=/shared/run/workers/certificate.pem --tls-cert=/shared/run/workers/certificate.pem --tls-key=/shared/run/workers/key.pem
