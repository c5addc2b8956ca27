"""The notifications service: takes order events from a queue of its own that is subscribed to the topic."""

import json
import signal

from shop import aws_client

sns, sqs = aws_client("sns"), aws_client("sqs")
running = True


def stop(*_):
    global running
    running = False


def subscribe():
    """The queue, created and subscribed if need be; asking twice changes nothing."""
    topic = sns.create_topic(Name="order-events")["TopicArn"]
    queue = sqs.create_queue(QueueName="notifications")["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    sns.subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=attributes["QueueArn"], Attributes={"RawMessageDelivery": "true"}
    )
    return queue


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    queue_url = subscribe()
    print("notifications waits for orders", flush=True)
    while running:
        # A long poll: the answer comes with the first message, or empty after the wait.
        received = sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        for message in received.get("Messages", []):
            event = json.loads(message["Body"])
            print(f"notified: {event['order']} {event['ticket']}", flush=True)
            # Only now is it gone; had we died before this line, it would come again.
            sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
