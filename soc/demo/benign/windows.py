"""Harmless Windows events as Winlogbeat ships them: sign-ins, programs, services, scripts of the institution."""

# ruff: noqa: E501 - log lines stand whole, as programs write them

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime

from soc.demo.benign.world import STAFF, WINDOWS, World, utc_text

_SYSMON = ("Microsoft-Windows-Sysmon/Operational", "Microsoft-Windows-Sysmon")
_SECURITY = ("Security", "Microsoft-Windows-Security-Auditing")
_SYSTEM = ("System", "Service Control Manager")
_POWERSHELL = ("Microsoft-Windows-PowerShell/Operational", "Microsoft-Windows-PowerShell")

_SYSTEM32 = "C:\\Windows\\System32\\"
_DESKTOP = "C:\\Windows\\explorer.exe"
_OFFICE = "C:\\Program Files\\Microsoft Office\\root\\Office16\\"
_PROGRAMS = (
    (
        _OFFICE + "WINWORD.EXE",
        f'"{_OFFICE}WINWORD.EXE" /n "C:\\Users\\%u\\Documents\\bao-cao.docx"',
        _DESKTOP,
    ),
    (_OFFICE + "EXCEL.EXE", f'"{_OFFICE}EXCEL.EXE"', _DESKTOP),
    (_OFFICE + "WINWORD.EXE", f'"{_OFFICE}WINWORD.EXE" /n "report.docx"', _OFFICE + "OUTLOOK.EXE"),
    (
        "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe",
        '"chrome.exe" --type=renderer --lang=vi --no-sandbox-check',
        "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe",
    ),
    (
        _SYSTEM32 + "svchost.exe",
        "C:\\Windows\\system32\\svchost.exe -k netsvcs -p -s Schedule",
        _SYSTEM32 + "services.exe",
    ),
    (_SYSTEM32 + "cmd.exe", "cmd.exe /c ver", "C:\\Program Files\\Zabbix Agent\\zabbix_agentd.exe"),
    (_SYSTEM32 + "schtasks.exe", "schtasks /query /fo csv", _SYSTEM32 + "cmd.exe"),
    (
        _SYSTEM32 + "certutil.exe",
        "certutil -hashfile C:\\Users\\%u\\Downloads\\setup.msi SHA256",
        _SYSTEM32 + "cmd.exe",
    ),
    (
        _SYSTEM32 + "WindowsPowerShell\\v1.0\\powershell.exe",
        'powershell.exe -NoProfile -ExecutionPolicy Bypass -File "C:\\Program Files\\BO\\inventory.ps1"',
        _SYSTEM32 + "svchost.exe",
    ),
)
_SCRIPTS = (
    "Get-Process | Sort-Object CPU -Descending | Select-Object -First 5",
    "Get-ChildItem -Path C:\\Inventory -Filter *.csv | ForEach-Object { $_.FullName }",
    "Invoke-WebRequest -Uri https://portal.bo.example/forms.zip -OutFile C:\\Temp\\forms.zip",
    "Import-Module ActiveDirectory; Get-ADUser -Filter * -Properties LastLogonDate",
)
_NUMBER = "S-1-5-21-1004336348-1177238915-682003330-"


def windows(world: World, count: int) -> Iterator[tuple[datetime, str]]:
    """Workplaces and servers."""
    kinds = (
        (24, _logon),
        (18, _logoff),
        (4, _failed),
        (22, _program),
        (16, _connection),
        (8, _service),
        (4, _script),
        (4, _read),
        (1, _maintained),
    )
    for number, at in enumerate(world.moments(count), 90_000):
        (channel, provider), code, data = world.weighted(kinds)(world)
        host = world.pick(WINDOWS) + ".bo.example"
        if channel == _SYSMON[0]:
            data = {"RuleName": "-", "UtcTime": utc_text(at).replace("T", " ").rstrip("Z"), **data}
        document = {
            "@timestamp": utc_text(at),
            "event": {"code": str(code), "provider": provider, "kind": "event"},
            "host": {"name": host},
            "winlog": {
                "channel": channel,
                "event_id": str(code),
                "provider_name": provider,
                "computer_name": host,
                "record_id": number,
                "event_data": data,
            },
        }
        yield at, json.dumps(document, separators=(",", ":"), ensure_ascii=False)


Made = tuple[tuple[str, str], int, Mapping[str, str]]


def _guid(world: World) -> str:
    return f"{{5770385f-{world.hex(4)}-65e2-0000-0010{world.hex(8)}}}"


def _target(world: World) -> dict[str, str]:
    return {
        "TargetUserSid": f"{_NUMBER}{world.below(1_190, 1_110)}",
        "TargetUserName": world.pick(STAFF),
        "TargetDomainName": "BO",
        "TargetLogonId": f"0x{world.hex(6)}",
    }


def _logon(world: World) -> Made:
    kind = world.weighted(((60, "3"), (20, "5"), (14, "2"), (6, "10")))
    address = {"3": world.desk(), "10": "10.20.5.11", "2": "127.0.0.1"}.get(kind, "-")
    subject = {
        "SubjectUserSid": "S-1-5-18",
        "SubjectUserName": "SRV-AD01$",
        "SubjectDomainName": "BO",
        "SubjectLogonId": "0x3e7",
    }
    return _SECURITY, 4624, {
        **subject,
        **_target(world),
        "LogonType": kind,
        "LogonProcessName": "Kerberos" if kind == "3" else "User32 ",
        "AuthenticationPackageName": "Kerberos" if kind == "3" else "Negotiate",
        "WorkstationName": "-",
        "ProcessId": "0x44c",
        "ProcessName": f"{_SYSTEM32}svchost.exe",
        "IpAddress": address,
        "IpPort": str(world.below(65_000, 49_152)),
    }  # fmt: skip


def _logoff(world: World) -> Made:
    return _SECURITY, 4634, {**_target(world), "LogonType": "3"}


def _failed(world: World) -> Made:
    return _SECURITY, 4625, {
        **_target(world),
        "LogonType": "2",
        "Status": "0xc000006d",
        "SubStatus": "0xc000006a",
        "FailureReason": "%%2313",
        "IpAddress": "127.0.0.1",
        "IpPort": "0",
    }  # fmt: skip


def _program(world: World) -> Made:
    image, command, parent = world.pick(_PROGRAMS)
    user = world.pick(STAFF)
    return _SYSMON, 1, {
        "ProcessGuid": _guid(world),
        "ProcessId": str(world.below(20_000, 400)),
        "Image": image,
        "CommandLine": command.replace("%u", user),
        "CurrentDirectory": f"C:\\Users\\{user}\\",
        "User": f"BO\\{user}",
        "LogonId": f"0x{world.hex(6)}",
        "IntegrityLevel": "Medium",
        "Hashes": f"SHA256={world.hex(64).upper()}",
        "ParentProcessGuid": _guid(world),
        "ParentProcessId": str(world.below(20_000, 400)),
        "ParentImage": parent,
        "ParentCommandLine": parent,
    }  # fmt: skip


def _connection(world: World) -> Made:
    return _SYSMON, 3, {
        "ProcessGuid": _guid(world),
        "ProcessId": str(world.below(20_000, 400)),
        "Image": "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe",
        "User": f"BO\\{world.pick(STAFF)}",
        "Protocol": "tcp",
        "Initiated": "true",
        "SourceIp": world.desk(),
        "SourcePort": str(world.below(65_000, 49_152)),
        "DestinationIp": f"192.0.2.{world.below(60, 10)}",
        "DestinationPort": "443",
    }  # fmt: skip


def _service(world: World) -> Made:
    name = world.pick(("Windows Update", "Background Intelligent Transfer Service", "Print Spooler"))
    return _SYSTEM, 7036, {"param1": name, "param2": world.pick(("running", "stopped"))}


def _script(world: World) -> Made:
    return _POWERSHELL, 4104, {
        "MessageNumber": "1",
        "MessageTotal": "1",
        "ScriptBlockText": world.pick(_SCRIPTS),
        "ScriptBlockId": f"{world.hex(8)}-7b1e-4e0a-9d5c-{world.hex(12)}",
        "Path": "",
    }  # fmt: skip


def _read(world: World) -> Made:
    """Virus protection looks into the process that keeps the passwords, as it does all day."""
    return _SYSMON, 10, {
        "SourceProcessGUID": _guid(world),
        "SourceProcessId": "2980",
        "SourceImage": "C:\\ProgramData\\Microsoft\\Windows Defender\\Platform\\4.18.24010.12-0\\MsMpEng.exe",
        "TargetProcessGUID": _guid(world),
        "TargetProcessId": "712",
        "TargetImage": f"{_SYSTEM32}lsass.exe",
        "GrantedAccess": "0x1410",
    }  # fmt: skip


def _maintained(world: World) -> Made:
    """What software distribution and administrators do, which looks worse than it is."""
    folder = f"C:\\Users\\{world.pick(STAFF)}\\AppData\\Roaming\\Zalo\\"
    service = {
        "ServiceName": "Zabbix Agent",
        "ImagePath": '"C:\\Program Files\\Zabbix Agent\\zabbix_agentd.exe" --config zabbix_agentd.conf',
        "ServiceType": "user mode service",
        "StartType": "auto start",
        "AccountName": "LocalSystem",
    }
    autostart = {
        "EventType": "SetValue",
        "ProcessGuid": _guid(world),
        "ProcessId": "4100",
        "Image": folder + "ZaloUpdate.exe",
        "TargetObject": f"HKU\\{_NUMBER}1150\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Run\\Zalo",
        "Details": folder + "Zalo.exe",
    }
    member = {
        "MemberName": "-",
        "MemberSid": f"{_NUMBER}1150",
        "TargetUserName": "Remote Desktop Users",
        "TargetDomainName": "Builtin",
        "TargetSid": "S-1-5-32-555",
        "SubjectUserSid": f"{_NUMBER}1104",
        "SubjectUserName": "adm.minh",
        "SubjectDomainName": "BO",
        "SubjectLogonId": "0x4a1b2",
        "PrivilegeList": "-",
    }
    return world.pick(((_SYSTEM, 7045, service), (_SYSMON, 13, autostart), (_SECURITY, 4732, member)))


def edr(world: World, count: int) -> Iterator[tuple[datetime, str]]:
    """The protection of the workplaces: what it found, it put away."""
    for number, at in enumerate(world.moments(count)):
        document = {
            "timestamp": utc_text(at),
            "alert_id": f"al-{number:05d}",
            "severity": world.pick(("Low", "Medium")),
            "threat_name": world.pick(("Adware.Generic.Test", "PUA.Toolbar.Test")),
            "action": world.pick(("quarantined", "blocked")),
            "hostname": world.pick(WINDOWS[:6]),
            "user": f"BO\\{world.pick(STAFF)}",
            "file_path": "C:\\Users\\Public\\Downloads\\setup.exe",
            "sha256": world.hex(64),
        }
        yield at, json.dumps(document, separators=(",", ":"))
