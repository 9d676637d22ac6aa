"""Questions that may never be answered."""

import threading

from ss_pusher.batch.asked import Asked
from tests.waiting import wait_for


def test_an_answer_is_waited_for() -> None:
    assert Asked(lambda: 7).answer(20) == 7


def test_nobody_is_asked_while_an_answer_is_still_to_come() -> None:
    release = threading.Event()
    questions: list[None] = []

    def question() -> int:
        questions.append(None)
        release.wait(20)
        return len(questions)

    asked = Asked(question)
    assert asked.answer(0.01) is None
    assert asked.answer(20) is None
    wait_for(lambda: questions, "it was asked")
    assert len(questions) == 1
    release.set()
    assert wait_for(lambda: asked.answer(20), "it is asked again") == 2
