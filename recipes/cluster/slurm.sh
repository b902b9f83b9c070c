#!/bin/bash
# The corpus stage of a recipe as a Slurm array: every task does its share of every phase.
#
#   sbatch --array=0-15 recipes/cluster/slurm.sh RECIPE RUN
#
# RUN is a folder that all nodes see. Tasks need not run at the same time: one alone does all the work, one that
# is killed or never starts is taken over by the others, and the last writes the shards. Submitted again
# after a failure, the job goes on with what is missing. The shards are those of a single process, byte for byte.
#SBATCH --job-name=athanor-corpus
#SBATCH --cpus-per-task=8
#SBATCH --mem=4G
#SBATCH --requeue
#SBATCH --output=%x-%A-%a.log
set -euo pipefail

recipe=${1:?the recipe}
run=${2:?the folder of the run}

exec "${ATHANOR:-athanor}" corpus "$recipe" --out "$run" \
    --task "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" \
    --set run.threads="${SLURM_CPUS_PER_TASK:-0}"
