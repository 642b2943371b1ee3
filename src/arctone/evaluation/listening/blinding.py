"""Names that say nothing: what a listener sees of a system is a keyed hash."""

import hashlib
import hmac

_LENGTH = 12


class Blinding:
    """Opaque names drawn from a secret.

    Args: seed: the secret; the same seed gives the same names. Whoever knows it can undo the blinding, so it is kept
    in the key file only.
    """

    def __init__(self, seed: int) -> None:
        self._secret = hashlib.sha256(f"arctone listening test {seed}".encode()).digest()

    def name(self, kind: str, *parts: object) -> str:
        """`kind`, a letter, and 12 hexadecimal digits; names of other parts differ. The letter keeps a name from
        being read as a number, by YAML for one.

        >>> Blinding(7).name("s", "mine", 0) == Blinding(7).name("s", "mine", 0) != Blinding(8).name("s", "mine", 0)
        True
        """
        message = "\0".join([kind, *map(str, parts)]).encode("utf-8", "surrogateescape")
        return kind + hmac.new(self._secret, message, hashlib.sha256).hexdigest()[:_LENGTH]
