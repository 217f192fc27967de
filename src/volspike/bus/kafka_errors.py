"""What librdkafka says, as one line with a remedy."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException

from volspike.errors import BusError, FencedError, UnavailableError, UndoneError

_AWAY = "check that the broker runs and that VOLSPIKE_KAFKA_BOOTSTRAP names it"
_AGAIN = "read again from the committed offsets"

Answer = TypeVar("Answer")
_PAUSE_S = 0.02
_UNSETTLED = {
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.UNSTABLE_OFFSET_COMMIT,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError._TIMED_OUT,
    KafkaError._TIMED_OUT_QUEUE,
    KafkaError._TRANSPORT,
    KafkaError._NOENT,
    KafkaError._WAIT_COORD,
}
_FENCED = {
    KafkaError._FENCED,
    KafkaError.PRODUCER_FENCED,
    KafkaError.INVALID_PRODUCER_EPOCH,
    KafkaError.UNRELEASED_INSTANCE_ID,
}
# Of what is fatal. A client that is at its end and says no more was fenced: other ends come with a reason.
_FENCE_SIGNS = ("fenced", "local: fatal error")
_UNAVAILABLE = {
    **dict.fromkeys(
        (
            KafkaError._TRANSPORT,
            KafkaError._ALL_BROKERS_DOWN,
            KafkaError._RESOLVE,
            KafkaError._NOENT,
            KafkaError._TIMED_OUT,
            KafkaError._TIMED_OUT_QUEUE,
            KafkaError._MSG_TIMED_OUT,
            KafkaError._WAIT_COORD,
            KafkaError.REQUEST_TIMED_OUT,
            KafkaError.NETWORK_EXCEPTION,
            KafkaError.BROKER_NOT_AVAILABLE,
            KafkaError.LEADER_NOT_AVAILABLE,
            KafkaError.NOT_LEADER_FOR_PARTITION,
            KafkaError.FENCED_LEADER_EPOCH,
            KafkaError.UNKNOWN_LEADER_EPOCH,
            KafkaError.OFFSET_NOT_AVAILABLE,
            KafkaError.COORDINATOR_NOT_AVAILABLE,
            KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
            KafkaError.NOT_COORDINATOR,
        ),
        _AWAY,
    ),
    KafkaError.NOT_ENOUGH_REPLICAS: "start the brokers that are missing",
    KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND: "start the brokers that are missing",
    KafkaError.KAFKA_STORAGE_ERROR: "free space on the broker's disk and see its log",
}
_UNDONE = {
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID,
    # The member that joined again may be this one, behind a broker's restart: going back finds out.
    KafkaError.FENCED_INSTANCE_ID,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.STALE_MEMBER_EPOCH,
    KafkaError.FENCED_MEMBER_EPOCH,
    KafkaError.INVALID_TXN_STATE,
    KafkaError.INVALID_PRODUCER_ID_MAPPING,
    KafkaError.UNKNOWN_PRODUCER_ID,
    KafkaError.CONCURRENT_TRANSACTIONS,
    KafkaError._PURGE_QUEUE,
    KafkaError._PURGE_INFLIGHT,
    KafkaError._ASSIGNMENT_LOST,
}
_REMEDIES = {
    **dict.fromkeys(
        (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION),
        "create the topics: volspike topics --bus kafka",
    ),
    **dict.fromkeys(
        (KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError._SSL),
        "check the credentials in VOLSPIKE_KAFKA_OPTIONS",
    ),
    **dict.fromkeys(
        (
            KafkaError.TOPIC_AUTHORIZATION_FAILED,
            KafkaError.GROUP_AUTHORIZATION_FAILED,
            KafkaError.CLUSTER_AUTHORIZATION_FAILED,
            KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        ),
        "have the cluster's administrator grant it",
    ),
    KafkaError._INVALID_ARG: "correct VOLSPIKE_KAFKA_OPTIONS",
    KafkaError.MSG_SIZE_TOO_LARGE: "raise max.message.bytes of the topic",
}


@contextmanager
def kafka_errors(subject: str) -> Iterator[None]:
    """Turn what librdkafka raises about ``subject`` into a BusError, or its Fenced or Unavailable kind."""
    try:
        yield
    except KafkaException as error:
        raise bus_error(error.args[0], subject) from error


def when_settled(ask: Callable[[], Answer], look: Callable[[], object], limit_s: float) -> Answer:
    """Return the answer of ``ask``, asked again while a leader or coordinator is new or a
    transaction not yet settled.

    ``look`` is called in between, to find the new leader.
    """
    deadline = time.monotonic() + limit_s
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in _UNSETTLED or time.monotonic() > deadline:
                raise
            look()
        time.sleep(_PAUSE_S)


def bus_error(error: KafkaError, subject: str) -> BusError:
    """Return the error to raise for what librdkafka reported."""
    code, reason = error.code(), " ".join(error.str().split()) or error.name()
    if code in _FENCED or (
        code == KafkaError._FATAL and any(sign in reason.lower() for sign in _FENCE_SIGNS)
    ):
        return FencedError(subject, reason, "another process of this name runs; stop one of them")
    if code in _UNAVAILABLE:
        return UnavailableError(subject, reason, _UNAVAILABLE[code])
    if code in _UNDONE or error.txn_requires_abort() or error.retriable():
        return UndoneError(subject, reason, _AGAIN)
    return BusError(subject, reason, _REMEDIES.get(code, "see the broker's log"))
