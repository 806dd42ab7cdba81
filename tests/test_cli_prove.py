"""`sentry prove` against the stack: budgets, and who can bypass the sentry; what it says if it cannot work."""

import csv
import io
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from sentry_client import unique

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.local


def test_a_budget_for_five_admits_five_of_forty(command, sentry):
    before = {item["modelId"] for item in sentry.limits.scan()["Items"]}
    rows = json.loads(command("--output", "json", "--yes", "prove", "--requests", "40", "--budget", "5"))
    counts = {row["what"]: row["requests"] for row in rows}
    ledger = {name: counts.pop(f"ledger: {name}") for name in ("limit", "settled", "held")}
    assert ledger == {"limit": 5, "settled": 5, "held": 0}
    assert counts["Succeeded"] == 5 and sum(counts.values()) == 40
    assert all(outcome == "Succeeded" or outcome.startswith("Denied Budget") for outcome in counts)
    assert {item["modelId"] for item in sentry.limits.scan()["Items"]} == before


def test_it_says_what_it_does_before_it_does_it(command):
    shown = command.on_a_terminal("prove", "--requests", "3", "--budget", "1", typed="n\n", code=1)
    assert "It costs at most $" in shown and "nothing was changed" in shown
    shown = command.on_a_terminal("--yes", "prove", "--requests", "3", "--budget", "0")
    assert "0 of 3 requests were admitted" in shown
    assert "no-such-stack" in command("--yes", "prove", code=1, stack="no-such-stack")
    assert "--requests" in command("prove", "--requests", "0", code=2)
    assert "AWS cannot be reached" in command.at("http://127.0.0.1:9")("--yes", "prove", code=3)


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def allow(action, resource="*", **more):
    return {"Sid": "Own", "Effect": "Allow", "Action": action, "Resource": resource, **more}


def trust(**principal):
    return policy({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"})


@pytest.fixture
def iam(sentry):
    return sentry.client("iam")


@pytest.fixture
def people(sentry, iam):
    """Users and roles by what they are for, each with its name. They are removed after the test."""
    names = {
        kind: unique(kind)
        for kind in (
            "admin",
            "member",
            "bounded",
            "denied",
            "lambda",
            "caller",
            "linked",
            "clients",
            "bedrock-api-key-",
        )
    }
    router, limiter = sentry.outputs["ModelRouterArn"], sentry.outputs["RateLimiterArn"]
    everything = iam.create_policy(PolicyName=names["admin"], PolicyDocument=policy(allow("*")))["Policy"]["Arn"]
    only_s3 = iam.create_policy(PolicyName=names["bounded"], PolicyDocument=policy(allow("s3:*")))["Policy"]["Arn"]
    for kind in ("admin", "member", "bounded", "denied", "clients", "bedrock-api-key-"):
        iam.create_user(UserName=names[kind])
    iam.attach_user_policy(UserName=names["admin"], PolicyArn=everything)
    iam.create_group(GroupName=names["member"])
    iam.add_user_to_group(GroupName=names["member"], UserName=names["member"])
    office = {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}
    iam.put_group_policy(
        GroupName=names["member"], PolicyName="office",
        PolicyDocument=policy(allow("bedrock:InvokeModel", Condition=office)),
    )  # fmt: skip
    iam.attach_user_policy(UserName=names["bounded"], PolicyArn=everything)
    iam.put_user_permissions_boundary(UserName=names["bounded"], PermissionsBoundary=only_s3)
    iam.attach_user_policy(UserName=names["denied"], PolicyArn=everything)
    deny = {"Effect": "Deny", "NotAction": "s3:*", "Resource": "*"}
    iam.put_user_policy(UserName=names["denied"], PolicyName="deny", PolicyDocument=policy(deny))
    iam.put_user_policy(
        UserName=names["clients"], PolicyName="ask", PolicyDocument=policy(allow("states:StartSyncExecution", limiter))
    )
    iam.put_user_policy(
        UserName=names["bedrock-api-key-"],
        PolicyName="key",
        PolicyDocument=policy(allow("bedrock:CallWithBearerToken")),
    )
    service = trust(Service="lambda.amazonaws.com")
    iam.create_role(RoleName=names["lambda"], AssumeRolePolicyDocument=service)
    iam.put_role_policy(
        RoleName=names["lambda"],
        PolicyName="bedrock",
        PolicyDocument=policy(allow(["bedrock:Converse", "bedrock:Invoke*"])),
    )
    iam.create_role(RoleName=names["caller"], AssumeRolePolicyDocument=trust(AWS=sentry.account))
    iam.put_role_policy(
        RoleName=names["caller"], PolicyName="router", PolicyDocument=policy(allow("states:Start*Execution", router))
    )
    iam.create_role(
        RoleName=names["linked"], Path="/aws-service-role/bedrock.amazonaws.com/",
        AssumeRolePolicyDocument=trust(Service="bedrock.amazonaws.com"),
    )  # fmt: skip
    iam.put_role_policy(RoleName=names["linked"], PolicyName="own", PolicyDocument=policy(allow("bedrock:InvokeModel")))
    yield names
    remove(iam, names, [everything, only_s3])


def remove(iam, names, policies):
    users = [user["UserName"] for user in iam.list_users()["Users"] if user["UserName"] in names.values()]
    for user in users:
        for attached in iam.list_attached_user_policies(UserName=user)["AttachedPolicies"]:
            iam.detach_user_policy(UserName=user, PolicyArn=attached["PolicyArn"])
        for name in iam.list_user_policies(UserName=user)["PolicyNames"]:
            iam.delete_user_policy(UserName=user, PolicyName=name)
        for group in iam.list_groups_for_user(UserName=user)["Groups"]:
            iam.remove_user_from_group(GroupName=group["GroupName"], UserName=user)
            iam.delete_group_policy(GroupName=group["GroupName"], PolicyName="office")
            iam.delete_group(GroupName=group["GroupName"])
        iam.delete_user(UserName=user)
    roles = {role["RoleName"] for role in iam.get_paginator("list_roles").paginate().build_full_result()["Roles"]}
    for role in ("lambda", "caller", "linked"):
        if names[role] not in roles:
            continue
        for name in iam.list_role_policies(RoleName=names[role])["PolicyNames"]:
            iam.delete_role_policy(RoleName=names[role], PolicyName=name)
        for attached in iam.list_attached_role_policies(RoleName=names[role])["AttachedPolicies"]:
            iam.detach_role_policy(RoleName=names[role], PolicyArn=attached["PolicyArn"])
        iam.delete_role(RoleName=names[role])
    for arn in policies:
        iam.delete_policy(PolicyArn=arn)


@pytest.fixture
def details(iam, tmp_path):
    """Returns a function that writes the file as the AWS CLI does, and returns its path."""

    def write():
        path = tmp_path / "iam.json"
        found = iam.get_paginator("get_account_authorization_details").paginate().build_full_result()
        # The local AWS leaves out the permissions boundaries, which AWS has in each user.
        for user in found["UserDetailList"]:
            boundary = iam.get_user(UserName=user["UserName"])["User"].get("PermissionsBoundary")
            user.update({"PermissionsBoundary": boundary} if boundary else {})
        path.write_text(json.dumps(found, default=str))
        return str(path)

    return write


def ways(command, path, *options, code):
    """The rows by the last part of the principal's ARN."""
    found: dict[str, list] = {}
    for row in json.loads(command.output("--output", "json", "prove", "--iam", path, *options, code=code)):
        found.setdefault(row["principal"].rsplit("/", 1)[-1], []).append(row)
    return found


def test_it_lists_who_can_go_round_and_how(command, sentry, people, details):
    path = details()
    found = ways(command, path, code=1)
    listed = {kind for kind, name in people.items() if name in found}
    assert listed == {"admin", "member", "lambda", "caller", "linked", "bedrock-api-key-"}
    stack = {row["PhysicalResourceId"] for row in sentry.cloudformation.describe_stack_resources(
        StackName=sentry.stack_name
    )["StackResources"]}  # fmt: skip
    assert not stack & set(found), "the sentry's own roles are no way round"
    admin = found[people["admin"]]
    assert {row["through"] for row in admin} == {"Bedrock", "the function", "the rate limiter", "the router"}
    assert {row["policy"] for row in admin} == {f"managed policy {people['admin']}"}
    (member,) = found[people["member"]]
    assert (member["action"], member["conditions"], member["statement"]) == ("bedrock:InvokeModel*", "yes", "Own")
    assert member["policy"] == f"inline policy office of group {people['member']}"
    assert {row["kind"] for row in found[people["lambda"]]} == {"role of lambda"}
    assert "bedrock:InvokeAgent" in {row["action"] for row in found[people["lambda"]]}
    assert {row["action"] for row in found[people["caller"]]} == {"states:StartExecution", "states:StartSyncExecution"}
    assert [row["kind"] for row in found[people["linked"]]] == ["service-linked role"]
    assert [row["kind"] for row in found[people["bedrock-api-key-"]]] == ["Bedrock API key"]
    (account,) = {row["principal"].split(":")[4] for rows in found.values() for row in rows}
    allowed = ways(command, path, "--allowed-role-arns", f"arn:aws:iam::{account}:role/{people['caller']}", code=1)
    assert set(found) - set(allowed) == {people["caller"]}


def test_the_forms_have_the_same_rows_and_a_terminal_of_80_columns_fits_the_table(command, people, details):
    path = details()
    rows = [row for rows in ways(command, path, code=1).values() for row in rows]
    text = command.output("--output", "csv", "prove", "--iam", path, code=1)
    assert [row["action"] for row in csv.DictReader(io.StringIO(text))] == [row["action"] for row in rows]
    shown = command.on_a_terminal("prove", "--iam", path, code=1)
    table, _, rest = shown.partition("\nIAM alone does not show")
    assert all(len(line) <= 80 for line in table.splitlines()), table
    assert "with conditions" in " ".join(table.split())
    assert "can bypass the sentry" in rest and "aws cloudformation deploy" in rest


@pytest.fixture
def template(tmp_path):
    """The template without its part for an organization. The local AWS does not know the type, and judges its condition wrongly."""
    text = (ROOT / "templates" / "close-ways-round.yaml").read_text(encoding="utf-8")
    text, removed = re.subn(r"^  ServiceControlPolicy(?:Id)?:\n(?:(?:    .*)?\n)+", "", text, flags=re.MULTILINE)
    assert removed == 2 and "DenyPolicyArn:" in text
    path = tmp_path / "template.yaml"
    path.write_text(text.replace("    Condition: HasNoOrganization\n", ""))
    return path


def test_the_command_that_it_prints_closes_the_ways(command, sentry, iam, people, details, template):
    path = details()
    before = ways(command, path, code=1)
    strangers = {rows[0]["principal"] for name, rows in before.items() if name not in people.values()}
    shown = command.output("prove", "--iam", path, code=1)
    (line,) = [part for part in shown.split("\n\n") if part.startswith("aws cloudformation deploy")]
    stack = unique("close-ways-round")
    aws = f"{shlex.quote(str(Path(sys.executable).parent / 'aws'))} --endpoint-url {sentry.endpoint} "
    line = line.replace("aws ", aws, 1).replace("--stack-name close-ways-round", f"--stack-name {stack}")
    line = line.replace("templates/close-ways-round.yaml", str(template))
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        ["sh", "-c", line], cwd=ROOT, env=keys, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    (deployed,) = sentry.cloudformation.describe_stacks(StackName=stack)["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in deployed["Outputs"]}
    try:
        for kind in ("admin", "bedrock-api-key-"):
            iam.attach_user_policy(UserName=people[kind], PolicyArn=outputs["DenyPolicyArn"])
        iam.put_user_permissions_boundary(UserName=people["member"], PermissionsBoundary=outputs["BoundaryPolicyArn"])
        for kind in ("lambda", "caller"):
            iam.attach_role_policy(RoleName=people[kind], PolicyArn=outputs["DenyPolicyArn"])
        options = [word for arn in sorted(strangers) for word in ("--allowed-role-arns", arn)]
        after = ways(command, details(), *options, code=0)
        assert set(after) == {people["linked"]}, "no policy of the account restricts a service-linked role"
    finally:
        remove(iam, people, [])
        sentry.cloudformation.delete_stack(StackName=stack)


def test_a_file_that_does_not_fit_is_refused_with_what_to_do(command, tmp_path):
    path = tmp_path / "iam.json"
    assert "cannot be read" in command("prove", "--iam", str(path), code=1)
    path.write_text("{}")
    assert "aws iam get-account-authorization-details" in command("prove", "--iam", str(path), code=1)
    elsewhere = {"UserName": "jo", "Arn": "arn:aws:iam::999999999999:user/jo"}
    path.write_text(
        json.dumps({"UserDetailList": [elsewhere], "GroupDetailList": [], "RoleDetailList": [], "Policies": []})
    )
    assert "Read the account of the stack" in command("prove", "--iam", str(path), code=1)
    path.write_text(json.dumps({"UserDetailList": [], "GroupDetailList": [], "RoleDetailList": [], "Policies": []}))
    assert "Nobody else" in command("prove", "--iam", str(path))
    assert "Nobody else" in command("prove", "--iam", "-", stdin=path.read_text())
    assert "cannot be used with" in command("prove", "--iam", str(path), "--budget", "3", code=2)
    assert "--iam" in command("prove", "--allowed-role-arns", "arn:aws:iam::1:role/a", code=2)
    assert "AWS cannot be reached" in command.at("http://127.0.0.1:9")("prove", "--iam", str(path), code=3)
