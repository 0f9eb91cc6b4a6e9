"""How the brokers are reached, and what is done to the client library."""

from functools import partial
from importlib import import_module

import certifi
import pytest
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from libs.kit.settings import PlatformSettings
from libs.messaging.connection import build_client_options
from libs.messaging.producer_link import use_fast_lz4

LZ4 = 3


def test_a_local_broker_needs_no_more_than_its_address() -> None:
    options = build_client_options(PlatformSettings(kafka="a:1, b:2,"))
    assert options["bootstrap_servers"] == ["a:1", "b:2"]
    assert (options["security_protocol"], options["ssl_context"]) == ("PLAINTEXT", None)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_a_managed_cluster_gets_tls_and_a_password(mechanism: str) -> None:
    settings = PlatformSettings(
        kafka="broker:9094",
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_mechanism=mechanism,
        kafka_sasl_username="rapport",
        kafka_sasl_password="secret",
        kafka_ssl_cafile=certifi.where(),
    )
    options = build_client_options(settings)
    assert options["ssl_context"] is not None
    assert options["ssl_context"].check_hostname
    assert (options["sasl_mechanism"], options["sasl_plain_username"]) == (mechanism, "rapport")


def test_batches_are_compressed_with_the_fast_level_and_can_be_read() -> None:
    use_fast_lz4()
    use_fast_lz4()
    writers = import_module("aiokafka.record._crecords.default_records")
    assert isinstance(writers.lz4_encode, partial)
    assert writers.lz4_encode.keywords == {"level": 1}

    builder = BatchBuilder(100_000, LZ4)
    builder.append(timestamp=5, key=b"k", value=b"v" * 10_000, headers=[("h", b"1")])
    builder._set_producer_state(1, 0, 0)
    written = bytes(builder._build())
    (record,) = MemoryRecords(written).next_batch()
    assert (record.key, record.value, record.headers, record.timestamp) == (b"k", b"v" * 10_000, [("h", b"1")], 5)
    assert len(written) < 1_000
