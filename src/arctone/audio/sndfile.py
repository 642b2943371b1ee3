"""libsndfile's complaints in words that fit into a sentence."""

_MISLEADING = "does not exist or is not a regular file"


def reason(problem: Exception) -> str:
    """Why libsndfile refused, without capital and full stop."""
    text = str(getattr(problem, "error_string", problem)).strip().rstrip(".")
    # What is no MP3 although its name ends so is reported as a missing file.
    if _MISLEADING in text:
        return "its content is of no known format"
    return text[:1].lower() + text[1:]
