"""From a prompt to a take that is heard, and what is done with takes."""

import io
import json
from typing import Any

import soundfile

from arctone.audio.metadata import read_record
