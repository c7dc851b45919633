#!/bin/bash -l

#BSUB -J defect-surrogate-reference
#BSUB -e /shared/run/workers/logs/w-reference-1-%J.err
#BSUB -o /shared/run/workers/logs/w-reference-1-%J.out
#BSUB -q normal
#BSUB -P "my-project"
#BSUB -W 24:00
#BSUB -n 96
#BSUB -R "span[ptile=48] rusage[mem=171662MB]"
#BSUB -M 343323MB
#BSUB -rn
umask 027
export DEFECT_SURROGATE_JOB_ENDS=$(($(date +%s) + 86400))
module load vasp/6.4.3
export PYTHONWARNINGS=ignore
export MALLOC_TRIM_THRESHOLD_=1073741824
export MALLOC_MMAP_THRESHOLD_=33554432
export DO_NOT_TRACK=1
export OMP_NUM_THREADS=1
python -m distributed.cli.dask_worker tls://10.1.2.3:8786 --name w-reference-1 --nthreads 1 --memory-limit 0.0B --nanny --death-timeout 60 --local-directory /shared/run/workers/dask --no-dashboard --interface ib0 --tls-ca-file=/shared/run/workers/certificate.pem --tls-cert=/shared/run/workers/certificate.pem --tls-key=/shared/run/workers/key.pem
