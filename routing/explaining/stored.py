"""A stored request as a question: as much of it as its record keeps."""

from accounting.models import RequestRecord
from routing.explaining.question import Question


def question_of(record: RequestRecord) -> Question:
    """The request of a record. Its body was not kept: one of the same length stands in, and of its betas only those that
    were removed are known."""
    prompt = (
        record.tokens_input + record.tokens_cache_read + record.tokens_cache_write_5m + record.tokens_cache_write_1h
    )
    return Question(
        model=record.alias,
        format=record.client_format,
        stream=record.stream,
        betas=tuple(record.betas_removed),
        session_id=record.session_id,
        prompt_tokens=min(prompt, 500_000),
    )
