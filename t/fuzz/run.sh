#!/bin/sh
# Run fuzzers one after the other, each for some seconds; stop at the first
# finding. What a run found interesting stays in the corpus for the next one.
#
#	t/fuzz/run.sh SECONDS PROGRAM...
seconds=$1
shift
for program; do
	name=${program##*/fuzz-}
	corpus=${program%/t/*}/corpus
	mkdir -p "$corpus/$name" || exit
	"$program" -max_total_time="$seconds" -max_len=2048 -timeout=5 \
	    -dict=t/fuzz/smtp.dict -print_final_stats=1 \
	    -artifact_prefix="$corpus/$name-" "$corpus/$name" \
	    >"$corpus/$name.log" 2>&1 || {
		echo "$name: a finding, see $corpus/$name.log"
		grep -aE -m5 'Assertion|ERROR|runtime error|#[0-4] ' \
		    "$corpus/$name.log"
		exit 1
	}
	runs=$(sed -n 's/^stat::number_of_executed_units: *//p' \
	    "$corpus/$name.log")
	printf '%-12s %s inputs, nothing found\n' "$name" "$runs"
done
