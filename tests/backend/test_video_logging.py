"""Laws of FFmpeg's messages: they never enter Python."""

import av.logging

import hund_backend.video  # noqa: F401


def test_no_message_of_a_decoding_thread_waits_for_the_interpreter():
    """A level would call Python from that thread, while closing a file waits for the thread."""
    assert av.logging.get_level() is None
