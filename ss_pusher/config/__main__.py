"""`python -m ss_pusher.config` writes the generated files below the current directory; `make docs` calls it."""

from pathlib import Path

from ss_pusher.config.reference import reference
from ss_pusher.config.sample import sample

Path("config.sample.yml").write_text(sample(), encoding="utf-8")
Path("docs/configuration.md").write_text(reference(), encoding="utf-8")
