"""What the consumer loop and the publisher count. Labels are groups, topics, outcomes and reasons of our own: all bounded."""

from libs.kit.metrics import counter, gauge, histogram

_BATCH_RECORDS = (1, 5, 20, 100, 250, 500, 1_000, 2_000, 5_000)
_BATCH_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0)

CONSUMED = counter("consumer_records_total", "Consumed records by what became of them.", ("group", "topic", "outcome"))
LAG = gauge("consumer_lag_records", "Records behind the end of the partition.", ("group", "topic", "partition"))
BATCH_RECORDS = histogram("consumer_batch_records", "Records in one transaction.", ("group", "topic"), buckets=_BATCH_RECORDS)
BATCH_SECONDS = histogram(
    "consumer_batch_seconds", "From the begin of a batch's transaction to its commit.", ("group", "topic"), buckets=_BATCH_SECONDS
)
DEAD_LETTERS = counter("consumer_dead_letters_total", "Records sent to a dead-letter topic.", ("group", "topic", "reason"))
RETRIES = counter("consumer_retries_total", "Batches or partitions put off to a later try.", ("group", "topic", "cause"))
REBALANCES = counter("consumer_rebalances_total", "Times partitions were taken from this consumer.", ("group",))
ABANDONED = counter(
    "consumer_batches_abandoned_total", "Batches rolled back because a rebalance couldn't wait.", ("group", "topic")
)
COMMIT_FAILURES = counter("consumer_commit_failures_total", "Offset commits refused or lost.", ("group", "cause"))

PUBLISHED = counter("publisher_records_total", "Records acknowledged by the broker.")
PUBLISH_FAILURES = counter("publisher_failures_total", "Batches that weren't acknowledged.", ("cause",))
PRODUCERS_REPLACED = counter("publisher_replaced_total", "Producers given up for a new one.", ("cause",))
IN_FLIGHT_BYTES = gauge("publisher_in_flight_bytes", "Bytes accepted and not yet acknowledged.")
