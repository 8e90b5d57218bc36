"""Checks STEM.spdx.json, STEM.cdx.json and STEM.provenance.json: `check.py STEM`."""

import json
import os
import sys
from urllib.parse import unquote

import jsonschema
import lib4sbom
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from google.protobuf.json_format import Parse
from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as StatementMessage
from packageurl import PackageURL
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

stem = sys.argv[1]
spdx, cdx, provenance = (f"{stem}.{end}.json" for end in ("spdx", "cdx", "provenance"))

# The schema of SPDX 2.3, as its authors publish it.
schema = os.path.join(os.path.dirname(lib4sbom.__file__), "schemas", "spdx", "2.3-schema.json")
document = json.load(open(spdx, encoding="utf-8"))
jsonschema.Draft7Validator(json.load(open(schema, encoding="utf-8"))).validate(document)

# The rules that the schema cannot say.
faults = validate_full_spdx_document(parse_file(spdx))
assert not faults, [fault.validation_message for fault in faults[:5]]

# The schema of CycloneDX 1.6, as its authors publish it; strict: no field that it does not know.
fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(cdx, encoding="utf-8").read())
assert fault is None, fault

# Package URLs are read as they were meant, and both lists have the same.
listed = json.load(open(cdx, encoding="utf-8"))
in_spdx = {reference["referenceLocator"] for package in document["packages"] for reference in package.get("externalRefs", [])}
in_cdx = set()
waiting = [listed["metadata"]["component"], *listed["components"]]
while waiting:
    component = waiting.pop()
    in_cdx |= {component["purl"]} if "purl" in component else set()
    waiting += component.get("components", []) + component.get("pedigree", {}).get("ancestors", [])
assert in_spdx == in_cdx and in_spdx, in_spdx ^ in_cdx
for purl in in_spdx:
    # Colons and slashes of a qualifier may stand as they are or escaped.
    read = PackageURL.from_string(purl)
    assert unquote(read.to_string()) == unquote(purl), (read.to_string(), purl)
    assert PackageURL.from_string(read.to_string()) == read

# An in-toto statement with a predicate of SLSA's provenance, and no field beside those of either.
text = json.load(open(provenance, encoding="utf-8"))
Statement.copy_from_pb(Parse(json.dumps(text), StatementMessage())).validate()
Parse(json.dumps(text["predicate"]), Provenance())
assert all(entry.get("digest") for entry in text["predicate"]["buildDefinition"]["resolvedDependencies"])

print("5 checks passed")
