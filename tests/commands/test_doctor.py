from __future__ import annotations

import json

import pytest

from clockwork_triton.commands import doctor
from clockwork_triton.doctor.facts import Facts
from clockwork_triton.doctor.finding import Finding, Verdict


def test_findings_are_printed_and_what_does_not_work_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    findings = [
        Finding("nvcc", Verdict.BAD, "not found", "install it [all]", "conversions"),
        Finding("cores", Verdict.GOOD, "8"),
    ]
    monkeypatch.setattr(doctor, "examine", lambda facts: findings)
    monkeypatch.setenv("COLUMNS", "120")
    assert doctor.main([]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [word for line in lines for word in ("cores", "nvcc") if word in line] == ["cores", "nvcc"]
    assert "install it [all]" in "\n".join(lines)
    findings.pop(0)
    assert doctor.main(["--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"subject": "cores", "verdict": "good", "found": "8", "change": "", "gain": ""}
    ]


def test_both_compilers_are_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "find_compiler", lambda: "/bin/nvcc")
    monkeypatch.setattr(doctor, "find_host_compiler", lambda: "/bin/g++")
    found: list[Facts] = []
    monkeypatch.setattr(doctor, "examine", lambda facts: found.append(facts) or [])
    assert doctor.main(["--json"]) == 0
    assert [(facts.compiler, facts.host_compiler) for facts in found] == [("/bin/nvcc", "/bin/g++")]
