"""The false-green corpus: projects that look green to pytest, and why each is not."""

from harness.tests.false_green import asking, running, sentences
from harness.tests.false_green.case import Case

CORPUS: tuple[Case, ...] = (*sentences.CASES, *asking.CASES, *running.CASES)
