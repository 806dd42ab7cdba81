"""A client of the request queue and the answers table."""

import json
import time

from sentry_client import SOMEBODY, document

PATIENCE_SECONDS = 85


class RequestQueue:
    """Sends documents, and waits for their answers."""

    def __init__(self, sentry):
        self.sentry, self.url = sentry, sentry.outputs["RequestQueueUrl"]
        resource = sentry.session.resource("dynamodb", endpoint_url=sentry.endpoint)
        self.answers = resource.Table(sentry.outputs["AnswersTableName"])
        self.function = sentry.function_name("ServeQueueFunction")

    def send(self, body, **attributes):
        """Sends a document, or a body as it is. Returns the id of the message."""
        sent = self.sentry.queues.send_message(
            QueueUrl=self.url,
            MessageBody=body if isinstance(body, str) else json.dumps(body),
            MessageGroupId="support",
            MessageAttributes=typed(attributes),
        )
        return sent["MessageId"]

    def item(self, application, request_id):
        key = {"applicationId": application, "requestId": request_id}
        return self.answers.get_item(Key=key, ConsistentRead=True).get("Item")

    def answer(self, application, request_id):
        """Waits for the end of a request. Returns its answer."""
        item = until(lambda: self._told(application, request_id), f"{application} {request_id}")
        answer = json.loads(item["answer"])
        content = ((answer.get("output") or {}).get("message") or {}).get("content")
        if isinstance(content, str):
            self.sentry.answer_texts.append(content)
        return answer

    def _told(self, application, request_id):
        item = self.item(application, request_id)
        return item if item and item["state"] == "done" and "toldAt" in item else None

    def deliver(self, body, message_id, receives=1, **attributes):
        """Invokes the function with a message, as Lambda's event source mapping does. Returns the ids that it reports."""
        record = {
            "messageId": message_id,
            "receiptHandle": "no-receipt",
            "body": json.dumps(body),
            "attributes": {"ApproximateReceiveCount": str(receives), "SentTimestamp": str(int(time.time() * 1000))},
            "messageAttributes": {
                name: {"stringValue": value, "dataType": "String"} for name, value in attributes.items()
            },
        }
        event = json.dumps({"Records": [record]})
        result = self.sentry.functions.invoke(FunctionName=self.function, Payload=event)
        answer = json.loads(result["Payload"].read())
        assert "FunctionError" not in result, answer
        return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def typed(attributes):
    return {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()}


def until(found, what):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (value := found()):
        assert time.monotonic() < deadline, f"{what} does not come"
        time.sleep(0.2)
    return value


def asked(application=SOMEBODY, model="nova-lite", request_id=None, **options):
    tags = {"applicationId": application, "costCenter": "support"}
    if request_id is not None:
        tags["requestId"] = request_id
    return document(model, tags=tags, **options)
