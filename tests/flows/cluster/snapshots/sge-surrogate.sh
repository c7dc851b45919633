#!/bin/bash -l

#$ -N defect-surrogate-surrogate
#$ -q gpu.q
#$ -P my-project
#$ -l h_vmem=3814M
#$ -l h_rt=08:00:00
#$ -e /shared/run/workers/logs/
#$ -o /shared/run/workers/logs/
#$ -cwd
#$ -j y
#$ -S /bin/bash
#$ -pe smp 8
#$ -l gpu=1
#$ -r n
umask 027
export DEFECT_SURROGATE_JOB_ENDS=$(($(date +%s) + 28800))
export PYTHONWARNINGS=ignore
export MALLOC_TRIM_THRESHOLD_=1073741824
export MALLOC_MMAP_THRESHOLD_=33554432
export DO_NOT_TRACK=1
export OMP_NUM_THREADS=8
python -m distributed.cli.dask_worker tls://10.1.2.3:8786 --name w-surrogate-1 --nthreads 1 --memory-limit 0.0B --nanny --death-timeout 60 --local-directory /shared/run/workers/dask --no-dashboard --interface eth0 --tls-ca-file=/shared/run/workers/certificate.pem --tls-cert=/shared/run/workers/certificate.pem --tls-key=/shared/run/workers/key.pem
