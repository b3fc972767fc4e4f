"""What `specdl init` starts from: one spec a file. A new template is a new file; its first line says what it is."""

from __future__ import annotations

import re
from importlib import resources

SCHEMA = "specdl.schema.json"
MODELINE = f"# yaml-language-server: $schema={SCHEMA}\n"
"""The line by which an editor finds the schema beside a spec."""

README = """\
# {name}
A neural network in one file, [spec.yaml](spec.yaml), for specdl.

```
specdl check spec.yaml                      # every mistake, before anything runs
specdl summary spec.yaml                    # layers, shapes, parameters
specdl diagram spec.yaml -o model.svg       # a picture
specdl train spec.yaml                      # a folder runs/{name}/…; `runs/{name}/latest` is the last one
specdl eval runs/{name}/latest
specdl export runs/{name}/latest -o model.onnx
specdl eject spec.yaml -o model.py          # the same network as PyTorch source
```

Any key can be changed on the command line: `specdl train spec.yaml train.epochs=3 optimizer.adamw.lr=1e-3`.

`{schema}` is the language as a JSON Schema. An editor with YAML support (in VS Code, the
extension "YAML" by Red Hat) completes and explains the spec with it; after an update of specdl,
`specdl schema -o {schema}` writes it again.
"""


def template_names() -> list[str]:
    """The templates, by name."""
    files = resources.files(__name__).iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


def template(name: str) -> str:
    """The text of a template."""
    return resources.files(__name__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")


def project_files(template_name: str, name: str) -> dict[str, str]:
    """The files of a new project by name: the spec, called `name`, its schema and a page.

    `name` must be a word in YAML that a model may have as its name.
    """
    from specdl.spec.schema import schema_text

    spec = re.sub(r"^name: .*$", f"name: {name}", template(template_name), count=1, flags=re.MULTILINE)
    return {
        "spec.yaml": MODELINE + spec,
        SCHEMA: schema_text(),
        "README.md": README.format(name=name, schema=SCHEMA),
    }
