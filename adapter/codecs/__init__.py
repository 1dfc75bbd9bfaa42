"""Pure bytes to nouns and back: MLLP framing, character sets, HL7 v2. No I/O, no clock, no randomness, no logging."""
