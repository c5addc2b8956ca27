package story;

import java.net.URI;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.http.urlconnection.UrlConnectionHttpClient;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.sqs.SqsClient;
import software.amazon.awssdk.services.sqs.model.BatchEntryIdsNotDistinctException;
import software.amazon.awssdk.services.sqs.model.EmptyBatchRequestException;
import software.amazon.awssdk.services.sqs.model.InvalidAttributeNameException;
import software.amazon.awssdk.services.sqs.model.InvalidMessageContentsException;
import software.amazon.awssdk.services.sqs.model.Message;
import software.amazon.awssdk.services.sqs.model.MessageAttributeValue;
import software.amazon.awssdk.services.sqs.model.MessageSystemAttributeName;
import software.amazon.awssdk.services.sqs.model.PurgeQueueInProgressException;
import software.amazon.awssdk.services.sqs.model.QueueAttributeName;
import software.amazon.awssdk.services.sqs.model.QueueDoesNotExistException;
import software.amazon.awssdk.services.sqs.model.QueueNameExistsException;
import software.amazon.awssdk.services.sqs.model.ReceiptHandleIsInvalidException;
import software.amazon.awssdk.services.sqs.model.SendMessageBatchRequestEntry;

/** One story told to SQS by the AWS SDK for Java v2, which checks MD5s of bodies and attributes by itself. */
public final class Story {
  private final SqsClient sqs =
      SqsClient.builder()
          .endpointOverride(URI.create(System.getenv("AWS_ENDPOINT_URL")))
          .region(Region.US_EAST_1)
          .credentialsProvider(StaticCredentialsProvider.create(AwsBasicCredentials.create("test", "test")))
          .httpClient(UrlConnectionHttpClient.create())
          .build();

  public static void main(String[] arguments) throws Exception {
    String name = "java-" + ProcessHandle.current().pid();
    Story story = new Story();
    story.standard(name);
    story.fifo(name + "-f");
    story.deadLetters(name + "-d");
    story.refusals(name + "-r");
    System.out.println("ok");
  }

  private void standard(String name) throws Exception {
    String url = create(name, Map.of(QueueAttributeName.VISIBILITY_TIMEOUT, "60"));
    same(url, sqs.getQueueUrl(r -> r.queueName(name)).queueUrl());
    var facts = sqs.getQueueAttributes(r -> r.queueUrl(url).attributeNames(QueueAttributeName.ALL)).attributes();
    same("60", facts.get(QueueAttributeName.VISIBILITY_TIMEOUT));
    sqs.tagQueue(r -> r.queueUrl(url).tags(Map.of("team", "red")));
    same(Map.of("team", "red"), sqs.listQueueTags(r -> r.queueUrl(url)).tags());

    Map<String, MessageAttributeValue> attributes =
        Map.of(
            "city", MessageAttributeValue.builder().dataType("String").stringValue("京都").build(),
            "n", MessageAttributeValue.builder().dataType("Number").stringValue("42").build(),
            "raw",
                MessageAttributeValue.builder()
                    .dataType("Binary")
                    .binaryValue(SdkBytes.fromByteArray(new byte[] {0, 1, -1}))
                    .build());
    var sent = sqs.sendMessage(r -> r.queueUrl(url).messageBody("ünï").messageAttributes(attributes));
    var batch = sqs.sendMessageBatch(r -> r.queueUrl(url).entries(entry("a", "two"), entry("b", "\0")));
    same(1, batch.successful().size());
    same(true, batch.hasFailed());
    same("InvalidMessageContents", batch.failed().get(0).code());
    var whole = sqs.sendMessageBatch(r -> r.queueUrl(url).entries(entry("c", "three")));
    same(false, whole.hasFailed());

    List<Message> messages = receive(url, 10);
    same(3, messages.size());
    same(sent.messageId(), messages.get(0).messageId());
    same("ünï", messages.get(0).body());
    same(attributes, messages.get(0).messageAttributes());
    same("1", messages.get(0).attributes().get(MessageSystemAttributeName.APPROXIMATE_RECEIVE_COUNT));

    String handle = messages.get(0).receiptHandle();
    sqs.changeMessageVisibility(r -> r.queueUrl(url).receiptHandle(handle).visibilityTimeout(0));
    List<Message> again = receive(url, 10);
    same(1, again.size());
    same("2", again.get(0).attributes().get(MessageSystemAttributeName.APPROXIMATE_RECEIVE_COUNT));
    var deleted =
        sqs.deleteMessageBatch(
            r ->
                r.queueUrl(url)
                    .entries(
                        e -> e.id("x").receiptHandle(again.get(0).receiptHandle()),
                        e -> e.id("y").receiptHandle(messages.get(1).receiptHandle()),
                        e -> e.id("z").receiptHandle(messages.get(2).receiptHandle())));
    same(3, deleted.successful().size());
    same(false, deleted.hasFailed());

    var poll = CompletableFuture.supplyAsync(() -> sqs.receiveMessage(r -> r.queueUrl(url).waitTimeSeconds(20)));
    sqs.sendMessage(r -> r.queueUrl(url).messageBody("wake"));
    same("wake", poll.get().messages().get(0).body());
    sqs.deleteQueue(r -> r.queueUrl(url));
  }

  private void fifo(String name) {
    String url =
        create(
            name + ".fifo",
            Map.of(QueueAttributeName.FIFO_QUEUE, "true", QueueAttributeName.CONTENT_BASED_DEDUPLICATION, "true"));
    var first = sqs.sendMessage(r -> r.queueUrl(url).messageBody("a-1").messageGroupId("a"));
    sqs.sendMessage(r -> r.queueUrl(url).messageBody("b-1").messageGroupId("b"));
    var second = sqs.sendMessage(r -> r.queueUrl(url).messageBody("a-2").messageGroupId("a"));
    var repeat = sqs.sendMessage(r -> r.queueUrl(url).messageBody("a-1").messageGroupId("a"));
    same(first.messageId(), repeat.messageId());
    same(first.sequenceNumber(), repeat.sequenceNumber());
    same(20, first.sequenceNumber().length());
    same(true, first.sequenceNumber().compareTo(second.sequenceNumber()) < 0);
    Message head = receive(url, 1).get(0);
    same("a-1", head.body());
    same("a", head.attributes().get(MessageSystemAttributeName.MESSAGE_GROUP_ID));
    same(first.sequenceNumber(), head.attributes().get(MessageSystemAttributeName.SEQUENCE_NUMBER));
    same(List.of("b-1"), receive(url, 10).stream().map(Message::body).toList());
    sqs.deleteMessage(r -> r.queueUrl(url).receiptHandle(head.receiptHandle()));
    same(List.of("a-2"), receive(url, 10).stream().map(Message::body).toList());
    sqs.purgeQueue(r -> r.queueUrl(url));
    refused(PurgeQueueInProgressException.class, () -> sqs.purgeQueue(r -> r.queueUrl(url)));
  }

  private void deadLetters(String name) {
    String dead = create(name + "-dead", Map.of());
    String arn =
        sqs.getQueueAttributes(r -> r.queueUrl(dead).attributeNames(QueueAttributeName.QUEUE_ARN))
            .attributes()
            .get(QueueAttributeName.QUEUE_ARN);
    String policy = "{\"deadLetterTargetArn\":\"" + arn + "\",\"maxReceiveCount\":\"1\"}";
    String url =
        create(name, Map.of(QueueAttributeName.REDRIVE_POLICY, policy, QueueAttributeName.VISIBILITY_TIMEOUT, "0"));
    sqs.sendMessage(r -> r.queueUrl(url).messageBody("poison"));
    same(1, receive(url, 10).size());
    same(0, receive(url, 10).size());
    Message moved = receive(dead, 10).get(0);
    same("poison", moved.body());
    same("2", moved.attributes().get(MessageSystemAttributeName.APPROXIMATE_RECEIVE_COUNT));
    same(true, moved.attributes().containsKey(MessageSystemAttributeName.DEAD_LETTER_QUEUE_SOURCE_ARN));
    same(List.of(url), sqs.listDeadLetterSourceQueues(r -> r.queueUrl(dead)).queueUrls());
  }

  /** Errors come as the SDK's own classes. */
  private void refusals(String name) {
    refused(QueueDoesNotExistException.class, () -> sqs.getQueueUrl(r -> r.queueName(name + "-missing")));
    String url = create(name, Map.of(QueueAttributeName.DELAY_SECONDS, "1"));
    refused(QueueNameExistsException.class, () -> create(name, Map.of(QueueAttributeName.DELAY_SECONDS, "2")));
    refused(
        InvalidAttributeNameException.class,
        () -> sqs.setQueueAttributes(r -> r.queueUrl(url).attributesWithStrings(Map.of("Nonsense", "1"))));
    refused(
        ReceiptHandleIsInvalidException.class, () -> sqs.deleteMessage(r -> r.queueUrl(url).receiptHandle("junk")));
    refused(
        InvalidMessageContentsException.class, () -> sqs.sendMessage(r -> r.queueUrl(url).messageBody("\u0001")));
    refused(
        EmptyBatchRequestException.class,
        () -> sqs.sendMessageBatch(r -> r.queueUrl(url).entries(List.<SendMessageBatchRequestEntry>of())));
    refused(
        BatchEntryIdsNotDistinctException.class,
        () -> sqs.sendMessageBatch(r -> r.queueUrl(url).entries(entry("a", "x"), entry("a", "y"))));
  }

  private static SendMessageBatchRequestEntry entry(String id, String body) {
    return SendMessageBatchRequestEntry.builder().id(id).messageBody(body).build();
  }

  private String create(String name, Map<QueueAttributeName, String> attributes) {
    return sqs.createQueue(r -> r.queueName(name).attributes(attributes)).queueUrl();
  }

  private List<Message> receive(String url, int most) {
    return sqs.receiveMessage(
            r ->
                r.queueUrl(url)
                    .maxNumberOfMessages(most)
                    .messageAttributeNames("All")
                    .messageSystemAttributeNames(MessageSystemAttributeName.ALL))
        .messages();
  }

  private static void same(Object wanted, Object found) {
    if (!Objects.equals(wanted, found)) {
      throw new AssertionError(found + " instead of " + wanted);
    }
  }

  private static void refused(Class<? extends Exception> wanted, Runnable call) {
    try {
      call.run();
    } catch (Exception error) {
      if (wanted.isInstance(error)) {
        return;
      }
      throw new AssertionError("instead of a " + wanted.getSimpleName(), error);
    }
    throw new AssertionError("no " + wanted.getSimpleName());
  }
}
