#!/usr/bin/env bash
# A study of three runs, a head among them, on a real Slurm that this script sets up on one node: loopback only, no accounting database.
#   tests/slurm/run.sh        by hand and nightly, about ten minutes; Debian or Ubuntu, as root; takes VENV as make does
# Tested: the submitter is killed, the same command again submits nothing twice; a job that Slurm ends says why.
set -euo pipefail
cd "$(dirname "$0")/../.."

[ "$(id -u)" = 0 ] || { echo "needs root: it installs and starts Slurm"; exit 2; }
if [ -e /etc/slurm/slurm.conf ]; then echo "there is a Slurm here already: /etc/slurm/slurm.conf"; exit 2; fi
command -v slurmctld munged > /dev/null || { apt-get update && apt-get install --yes --no-install-recommends slurm-wlm munge; } > /dev/null
make venv
python=${VENV:-.venv}/bin/python
"$python" -c "import snakemake_executor_plugin_slurm" 2> /dev/null || "$python" -m pip install --quiet "snakemake-executor-plugin-slurm>=2.8"

scratch=$(mktemp -d)
stop() {
  scancel --user root 2> /dev/null || true
  for daemon in slurmd slurmctld munged; do kill "$(cat "$scratch/$daemon.pid")" 2> /dev/null || true; done
  sleep 1
  rm -rf "$scratch" /etc/slurm/slurm.conf
}
trap stop EXIT

mkdir -p /etc/slurm "$scratch/state" "$scratch/spool"
(umask 077; head --bytes 128 /dev/urandom > "$scratch/munge.key")
munged --force --key-file "$scratch/munge.key" --socket "$scratch/munge.socket" --pid-file "$scratch/munged.pid" \
  --log-file "$scratch/munged.log" --seed-file "$scratch/munge.seed"
# A job's own commands look for the settings nowhere else.
cat > /etc/slurm/slurm.conf <<END
ClusterName=one
SlurmctldHost=$(hostname -s)(127.0.0.1)
AuthInfo=socket=$scratch/munge.socket
SlurmUser=root
SlurmctldPort=16817
SlurmdPort=16818
StateSaveLocation=$scratch/state
SlurmdSpoolDir=$scratch/spool
SlurmctldPidFile=$scratch/slurmctld.pid
SlurmdPidFile=$scratch/slurmd.pid
SlurmctldLogFile=$scratch/slurmctld.log
SlurmdLogFile=$scratch/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
ReturnToService=2
MinJobAge=3600
KillWait=5
NodeName=$(hostname -s) NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=9000 State=UNKNOWN
PartitionName=main Nodes=$(hostname -s) Default=YES MaxTime=INFINITE State=UP
END
slurmctld
slurmd
for _ in $(seq 30); do sinfo --noheader --format=%T | grep --quiet idle && break; sleep 1; done
sinfo --noheader --format=%T | grep --quiet idle

study() { cat > "$scratch/study.yaml"; }
grid() { make grid STUDY="$scratch/study.yaml" FLAGS="--profile profiles/slurm --slurm-init-seconds-before-status-checks 5 $*"; }
running() { squeue --noheader --states=RUNNING --format=%A; }
wait_for_a_job() { for _ in $(seq 60); do [ -n "$(running)" ] && return; sleep 1; done; echo "no job runs"; return 1; }
fail() { echo "FAILED: $*"; exit 1; }

echo "== the submitter is killed while its jobs run"
study <<END
results: $scratch/results
runs:
  - {dataset: digits, method: baseline, model: fc, rho: [1, 1.5], seed: [0], prune_iterations: 5, max_epochs: 3}
  - {dataset: digits, method: cnn_lstm, model: fc, rho: 1, seed: [0], prune_iterations: 5, max_epochs: 3, cnn_method: baseline,
     train_n: 2, head_rho: 1, head_max_epochs: 2}
END
export -f grid
export scratch
setsid bash -c grid > "$scratch/first" 2>&1 &
submitter=$!
wait_for_a_job
kill -KILL -- "-$submitter"
grid 2>&1 | tee "$scratch/second"
grep --quiet "3 of 3 runs done" "$scratch/second" || fail "not every run is done"
[ "$(find "$scratch/results" -name '*-seed0-*.json' | wc -l)" = 3 ] || fail "there are not three records"
twice=$(squeue --states=all --noheader --format=%k | sort | uniq --repeated)
[ -z "$twice" ] || fail "submitted twice: $twice"
[ "$(squeue --states=all --noheader | wc -l)" = 3 ] || fail "there were not three jobs"

echo "== a job that Slurm ends says why"
study <<END
results: $scratch/results
runs:
  - {dataset: digits, method: baseline, model: conv, rho: 1, seed: [0], max_epochs: 100000, patience: 100000}
END
grid --set-resources run:mem_mb=150 > "$scratch/memory" 2>&1 && fail "150 MB were enough"
grep "Slurm ended it: .*memory" "$scratch/memory" || { cat "$scratch/memory"; fail "it is not said that memory was too small"; }
grid > "$scratch/cancelled" 2>&1 &
wait_for_a_job
sleep 10
scancel $(running)
wait $! && fail "a cancelled job was taken for done"
grep "Slurm ended it: CANCELLED" "$scratch/cancelled" || { cat "$scratch/cancelled"; fail "it is not said that the job was cancelled"; }
grid --set-resources run:runtime=1 > "$scratch/time" 2>&1 && fail "a minute was enough"
grep "Slurm ended it: .*TIME" "$scratch/time" || { cat "$scratch/time"; fail "it is not said that time was up"; }
echo "3 passed, 0 failed"
