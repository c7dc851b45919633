#!/bin/bash -l

#BSUB -J defect-surrogate-surrogate
#BSUB -e /shared/run/workers/logs/w-surrogate-1-%J.err
#BSUB -o /shared/run/workers/logs/w-surrogate-1-%J.out
#BSUB -q gpu
#BSUB -P "my-project"
#BSUB -W 08:00
#BSUB -n 8
#BSUB -R "span[ptile=8] rusage[mem=30518MB]"
#BSUB -M 30518MB
#BSUB -gpu num=1
#BSUB -rn
umask 027
export DEFECT_SURROGATE_JOB_ENDS=$(($(date +%s) + 28800))
export PYTHONWARNINGS=ignore
export MALLOC_TRIM_THRESHOLD_=1073741824
export MALLOC_MMAP_THRESHOLD_=33554432
export DO_NOT_TRACK=1
export OMP_NUM_THREADS=8
python -m distributed.cli.dask_worker tls://10.1.2.3:8786 --name w-surrogate-1 --nthreads 1 --memory-limit 0.0B --nanny --death-timeout 60 --local-directory /shared/run/workers/dask --no-dashboard --interface ib0 --tls-ca-file=/shared/run/workers/certificate.pem --tls-cert=/shared/run/workers/certificate.pem --tls-key=/shared/run/workers/key.pem
