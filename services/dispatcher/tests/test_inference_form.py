import io
import wave
from email.parser import BytesParser
from email.policy import HTTP

from whisper_dispatcher.worker.inference_form import InferenceOptions, form_fields, multipart, wav


def test_pcm_becomes_a_wav_that_others_can_read():
    pcm = bytes(range(200))
    with wave.open(io.BytesIO(wav(pcm))) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 16_000)
        assert file.readframes(file.getnframes()) == pcm


def test_a_form_survives_a_standard_parser():
    fields = form_fields(InferenceOptions(prompt='Zoë said "--x"\r\nand left'), "en")
    body, content_type = multipart(fields, b"\x00\r\n--audio")
    message = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    parts = {part.get_param("name", header="content-disposition"): part for part in message.iter_parts()}
    assert parts.pop("file").get_payload(decode=True) == b"\x00\r\n--audio"
    assert {name: part.get_payload(decode=True).decode() for name, part in parts.items()} == fields


def test_a_job_without_a_language_gets_the_servers():
    assert form_fields(InferenceOptions(), "auto")["language"] == "auto"
    assert form_fields(InferenceOptions(language="de"), "auto")["language"] == "de"


def test_context_is_off_unless_a_prompt_needs_it():
    assert form_fields(InferenceOptions(), "en")["max_context"] == "0"
    assert int(form_fields(InferenceOptions(prompt="alpha"), "en")["max_context"]) > 0


def test_word_times_are_asked_for_only_when_wanted():
    assert form_fields(InferenceOptions(words=True), "en")["token_timestamps"] == "true"
    assert form_fields(InferenceOptions(), "en")["token_timestamps"] == "false"
