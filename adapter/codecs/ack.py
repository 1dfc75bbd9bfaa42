"""Acknowledgements (HL7 v2.5.1 chapter 2: 2.9.2 original mode, 2.9.3 enhanced mode, 2.15.5 ERR, 2.15.8 MSA).

An acknowledgement speaks the sender's dialect: its version, delimiters, character set and processing id, the
application and facility of both sides swapped, MSA-2 the MSH-10 as sent. Our own words are ASCII, escaped.

Enhanced mode is the commit acknowledgement alone: it says that the message is safe here or why it is not. An
application acknowledgement in a message of its own is never sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Literal

from adapter.codecs.charset import decode
from adapter.codecs.header import Header, HeaderFault, line_at, read_delimiters, read_header
from adapter.codecs.hl7v2 import Delimiters

#: HL7 table 0357, message error condition codes.
ERROR_CONDITIONS: Mapping[str, str] = {
    "0": "Message accepted",
    "100": "Segment sequence error",
    "101": "Required field missing",
    "102": "Data type error",
    "103": "Table value not found",
    "104": "Value too long",
    "198": "Non-Conformant Cardinality",
    "199": "Other HL7 Error",
    "200": "Unsupported message type",
    "201": "Unsupported event code",
    "202": "Unsupported processing id",
    "203": "Unsupported version id",
    "204": "Unknown key identifier",
    "205": "Duplicate key identifier",
    "206": "Application record locked",
    "207": "Application internal error",
}
_COMMIT_REJECTS = frozenset({"200", "201", "202", "203"})  # 2.9.3.2: type, event, processing id, version
_CONDITIONS = frozenset({"AL", "NE", "ER", "SU"})  # HL7 table 0155
_DEFAULT_DELIMITERS = Delimiters()
_DEFAULT_VERSION = "2.5.1"
_MSA_TEXT_LENGTH = 80  # MSA-3 is ST of at most 80 characters in v2.1 to v2.6
_USER_MESSAGE_LENGTH = 250  # ERR-8
_FRAMING = b"\x0b\x1c"  # MLLP's own bytes: a field of the sender's that holds them is repeated without
_HEADER_SEGMENT = re.compile(rb"(?:\A|[\r\n])(?:\xef\xbb\xbf|[\x0b\x1c \t])*(FHS|BHS|MSH)(?=[!-/:-@\[-`{-~])")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a message is not taken: ``error`` for its content (AE), ``reject`` for anything else (AR).

    ``code`` is of table 0357; ``segment``, its ``sequence`` among those of its name, ``field`` and ``component`` say
    where, as far as they are known ("" and 0 where not). ``text`` is for people and never holds what was sent.
    """

    kind: Literal["error", "reject"]
    code: str
    text: str
    segment: str = ""
    sequence: int = 1
    field: int = 0
    component: int = 0

    def __post_init__(self) -> None:
        if self.code not in ERROR_CONDITIONS:
            raise ValueError(f"{self.code!r} is not a code of HL7 table 0357")


def refusal_of(fault: HeaderFault) -> Refusal:
    """The refusal of a message whose header cannot be read: a rejection, for nobody knows what it is."""
    return Refusal("reject", fault.code, fault.text, fault.segment, fault.sequence, fault.field)


def is_acknowledgement(header: Header, second_segment: str = "") -> bool:
    """Whether a message is itself an acknowledgement, which is never answered (2.9.1).

    ``second_segment`` is the id of the segment after MSH: there are acknowledgements with MSA and no MSH-9.
    """
    if header.message_type in ("ACK", "MCF"):
        return True
    return not header.message_type and second_segment == "MSA"


def wants_answer(header: Header | None, refusal: Refusal | None) -> bool:
    """Whether the sender asks for an answer of this outcome (MSH-15 and MSH-16, HL7 table 0155).

    Both empty: always. MSH-15 AL, ER or SU decides alone, for the commit acknowledgement is the only one sent. Else
    MSH-16 decides; MSH-15 NE with MSH-16 empty asks for nothing. A value outside the table counts as empty.
    """
    if header is None:
        return True
    if is_acknowledgement(header):
        return False
    accept, application = _condition(header.accept_ack), _condition(header.application_ack)
    condition = accept if _is_enhanced(header) else application or ("NE" if accept == "NE" else "AL")
    return condition == "AL" or condition == ("SU" if refusal is None else "ER")


def acknowledge(
    header: Header | None, refusal: Refusal | None, *, at: datetime, control_id: str, text: str = ""
) -> bytes | None:
    """The acknowledgement of one message, segments ended by CR; ``None`` where the sender wants none.

    ``at`` (aware) becomes MSH-7 and ``control_id`` MSH-10 of the acknowledgement; ``text`` goes into MSA-3 of a
    positive one (v2.1 to v2.6), a refusal's text into MSA-3 and ERR. ``header`` is ``None`` where none could be read:
    the answer is then a rejection, whatever was given.
    """
    if not wants_answer(header, refusal):
        return None
    if header is None and refusal is None:
        refusal = Refusal("reject", "100", "No MSH segment was found", "MSH", 1)
    delimiters = _DEFAULT_DELIMITERS if header is None else header.delimiters
    version = _version_of(header)
    words = text if refusal is None else refusal.text
    msa = ["MSA", _acknowledgement_code(header, refusal), header.message_control_id if header else ""]
    if words and version < (2, 7):
        msa.append(_escaped(words, delimiters, _MSA_TEXT_LENGTH))
    segments = [_msh(header, delimiters, at, control_id), msa]
    if refusal is not None:
        segments.append(_err(refusal, delimiters, version))
    return _encoded(segments, delimiters, _charsets_of(header))


def acknowledge_batch(
    envelope: bytes | None, acks: Sequence[bytes], *, at: datetime, control_id: str, charset: str = "utf-8"
) -> bytes:
    """The answer to a batch (2.10.3): BHS, the acknowledgements, BTS; within FHS and FTS where the sender sent FHS.

    ``envelope`` is what came before the first MSH (the whole batch will do), ``None`` where there was none;
    ``charset`` the Python codec of the batch's messages. Names are swapped; FHS-12 and BHS-12 refer to the sender's
    FHS-11 and BHS-11. ``control_id`` becomes FHS-11 and BHS-11.
    """
    sent: dict[str, bytes] = {}
    for found in _HEADER_SEGMENT.finditer(envelope or b""):
        name = found[1].decode("ascii")
        if name == "MSH":
            break
        sent.setdefault(name, line_at(envelope or b"", found.start(1)))
    batch_line = sent.get("BHS", sent.get("FHS", b"BHS|^~\\&").replace(b"FHS", b"BHS", 1))
    batch, delimiters = _batch_header("BHS", batch_line, at, control_id, charset)
    if "BHS" not in sent:
        batch[11:] = []  # there is no BHS-11 to refer to
    answer = _encoded([batch], delimiters, (charset,))
    answer += b"".join(acks) + _encoded([["BTS", str(len(acks))]], delimiters, (charset,))
    if "FHS" not in sent:
        return answer
    file_header, delimiters = _batch_header("FHS", sent["FHS"], at, control_id, charset)
    return _encoded([file_header], delimiters, (charset,)) + answer + _encoded([["FTS", "1"]], delimiters, (charset,))


@dataclass(frozen=True, slots=True)
class Answer:
    """What an acknowledgement says: MSA-1, MSA-2 and, for people, MSA-3 or ERR-8 as sent."""

    code: str
    message_control_id: str
    text: str


def read_answers(raw: bytes, default_charset: str = "utf-8") -> tuple[Answer, ...]:
    """What an acknowledgement, or a batch of them, answers; messages without MSA say nothing."""
    answers = []
    for message, header in _messages(raw, default_charset):
        if not isinstance(header, Header):
            continue
        text = decode(message, header.charset or "ascii", header.alternates).text
        segments: dict[str, list[str]] = {}
        for line in re.split("[\r\n]+", text):
            segments.setdefault(line[:3], [*line.split(header.field_separator), *[""] * 9])
        if "MSA" in segments:
            _, code, message_control_id, words, *_ = segments["MSA"]
            user_message = segments["ERR"][8] if "ERR" in segments else ""
            answers.append(Answer(code, message_control_id, words or user_message))
    return tuple(answers)


def control_ids(raw: bytes, default_charset: str = "utf-8") -> tuple[str, ...]:
    """MSH-10 of each message of a payload, "" for one whose header cannot be read."""
    headers = (header for _, header in _messages(raw, default_charset))
    return tuple(header.message_control_id if isinstance(header, Header) else "" for header in headers)


def _messages(raw: bytes, default_charset: str) -> Iterator[tuple[bytes, Header | HeaderFault]]:
    starts = [found.start(1) for found in _HEADER_SEGMENT.finditer(raw) if found[1] == b"MSH"]
    for start, end in pairwise([*starts, len(raw)]):
        yield raw[start:end], read_header(raw[start:end], default_charset)


def _condition(sent: str) -> str:
    condition = sent.upper()
    return condition if condition in _CONDITIONS else ""


def _is_enhanced(header: Header) -> bool:
    return _condition(header.accept_ack) in ("AL", "ER", "SU")


def _acknowledgement_code(header: Header | None, refusal: Refusal | None) -> str:
    """MSA-1 by HL7 table 0008."""
    if header is None:
        return "AR"
    if _is_enhanced(header):
        return "CA" if refusal is None else "CR" if refusal.code in _COMMIT_REJECTS else "CE"
    return "AA" if refusal is None else "AR" if refusal.kind == "reject" else "AE"


def _msh(header: Header | None, delimiters: Delimiters, at: datetime, control_id: str) -> list[str]:
    time = _timestamp(at)
    if header is None:
        return ["MSH", "^~\\&", "", "", "", "", time, "", "ACK", control_id, "P", _DEFAULT_VERSION]
    parties = [
        header.receiving_application,
        header.receiving_facility,
        header.sending_application,
        header.sending_facility,
    ]
    version = header.field(12) if header.version else _DEFAULT_VERSION
    event = _event(header, delimiters)
    msh = ["MSH", header.encoding_characters, *parties, time, "", event, control_id, header.field(11), version]
    if header.charset is not None and header.charset_names:
        msh += ["", "", "", "", "", header.field(18)]
    return msh


def _event(header: Header, delimiters: Delimiters) -> str:
    """MSH-9: the message type alone up to v2.2, with the event from v2.3, with the structure from v2.4 (2.15.9.9)."""
    version = _version_of(header)
    if version < (2, 3) or not header.trigger_event:
        return "ACK"
    parts = ("ACK", header.trigger_event) if version < (2, 4) else ("ACK", header.trigger_event, "ACK")
    return delimiters.component.join(parts)


def _err(refusal: Refusal, delimiters: Delimiters, version: tuple[int, ...]) -> list[str]:
    """ERR. From v2.5 ERR-2 to ERR-4 and ERR-8, before that ERR-1, which v2.1 has already (2.15.5; v2.2 II.5.2)."""
    condition = _escaped(ERROR_CONDITIONS[refusal.code], delimiters, _USER_MESSAGE_LENGTH)
    coded = [refusal.code, condition, "HL70357"]
    place = [refusal.segment, str(refusal.sequence)] if refusal.segment else []
    if place and refusal.field:
        place.append(str(refusal.field))
    if version < (2, 5):
        error = delimiters.subcomponent.join(coded) if delimiters.subcomponent else refusal.code
        return ["ERR", delimiters.component.join([*[*place, "", "", ""][:3], error])]
    if place[2:] and refusal.component:
        place += ["1", str(refusal.component)]
    words = _escaped(refusal.text, delimiters, _USER_MESSAGE_LENGTH)
    join = delimiters.component.join
    return ["ERR", "", join(place), join(coded), "E", "", "", "", words]


def _batch_header(name: str, line: bytes, at: datetime, control_id: str, charset: str) -> tuple[list[str], Delimiters]:
    """FHS or BHS (2.15.1, 2.15.3) in answer to the sender's; default delimiters where those cannot be read."""
    declared = read_delimiters(line, name)
    if isinstance(declared, HeaderFault):
        line, delimiters = name.encode("ascii") + b"|^~\\&", _DEFAULT_DELIMITERS
    else:
        delimiters, _ = declared
    fields = [*line.decode(charset, "replace").split(delimiters.field, 12)[:12], *[""] * 12]
    encoding_characters, application, facility, other_application, other_facility = fields[1:6]
    parties = [other_application, other_facility, application, facility]
    time = _timestamp(at)
    return [name, encoding_characters, *parties, time, "", "", "", control_id, fields[10]], delimiters


def _version_of(header: Header | None) -> tuple[int, ...]:
    found = re.match(r"\d{1,2}(?:\.\d{1,2})*", header.version, re.ASCII) if header else None
    return tuple(map(int, (found[0] if found else _DEFAULT_VERSION).split(".")))


def _charsets_of(header: Header | None) -> tuple[str, ...]:
    if header is None or header.charset is None:
        return ("ascii",)
    return (header.charset, *header.alternates)


def _timestamp(at: datetime) -> str:
    return at.strftime("%Y%m%d%H%M%S%z")


def _escaped(words: str, delimiters: Delimiters, length: int) -> str:
    """Our words, ASCII, cut to ``length``, on one line, escaped (2.7.1); a delimiter that cannot be is left out."""
    plain = " ".join(words.encode("ascii", "replace").decode("ascii").split())[:length]
    escape = delimiters.escape
    meanings = {delimiters.subcomponent: "T", delimiters.repetition: "R", delimiters.component: "S"}
    meanings |= {delimiters.field: "F", escape: "E"}
    return "".join(
        character if character not in meanings else escape and f"{escape}{meanings[character]}{escape}"
        for character in plain
    )


def _encoded(segments: Sequence[Sequence[str]], delimiters: Delimiters, charsets: Sequence[str]) -> bytes:
    text = "".join(delimiters.field.join(segment) + "\r" for segment in segments)
    for charset in charsets:
        try:
            return text.encode(charset).translate(None, _FRAMING)
        except UnicodeEncodeError:
            continue
    return text.encode(charsets[0], "replace").translate(None, _FRAMING)
