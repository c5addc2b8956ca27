// One story told to SQS by the AWS SDK for Go v2, which checks MD5s of bodies and attributes by itself.
// Usage: AWS_ENDPOINT_URL=http://127.0.0.1:4566 AWS_REGION=us-east-1 go run .
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"reflect"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

var (
	ctx = context.Background()
	svc *sqs.Client
)

func main() {
	log.SetFlags(log.Lshortfile)
	loaded, err := config.LoadDefaultConfig(ctx)
	check(err)
	svc = sqs.NewFromConfig(loaded)
	name := fmt.Sprintf("go-%d", os.Getpid())
	standard(name)
	fifo(name + "-f")
	deadLetters(name + "-d")
	refusals(name + "-r")
	fmt.Println("ok")
}

func standard(name string) {
	url := create(name, map[string]string{"VisibilityTimeout": "60"})
	found := must(svc.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &name}))
	same(url, *found.QueueUrl)
	facts := must(svc.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &url, AttributeNames: []types.QueueAttributeName{"All"},
	}))
	same("60", facts.Attributes["VisibilityTimeout"])
	must(svc.TagQueue(ctx, &sqs.TagQueueInput{QueueUrl: &url, Tags: map[string]string{"team": "red"}}))
	same(map[string]string{"team": "red"}, must(svc.ListQueueTags(ctx, &sqs.ListQueueTagsInput{QueueUrl: &url})).Tags)

	attributes := map[string]types.MessageAttributeValue{
		"city": {DataType: aws.String("String"), StringValue: aws.String("京都")},
		"n":    {DataType: aws.String("Number"), StringValue: aws.String("42")},
		"raw":  {DataType: aws.String("Binary"), BinaryValue: []byte{0, 1, 255}},
	}
	sent := must(svc.SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl: &url, MessageBody: aws.String("ünï"), MessageAttributes: attributes,
	}))
	batch := must(svc.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &url,
		Entries: []types.SendMessageBatchRequestEntry{
			{Id: aws.String("a"), MessageBody: aws.String("two")},
			{Id: aws.String("b"), MessageBody: aws.String("\x00")},
		}}))
	same(1, len(batch.Successful))
	same("InvalidMessageContents", *batch.Failed[0].Code)
	same(true, batch.Failed[0].SenderFault)

	messages := receive(url, 10)
	same(2, len(messages))
	same(*sent.MessageId, *messages[0].MessageId)
	same("ünï", *messages[0].Body)
	same(attributes["raw"].BinaryValue, messages[0].MessageAttributes["raw"].BinaryValue)
	same("京都", *messages[0].MessageAttributes["city"].StringValue)
	same("1", messages[0].Attributes["ApproximateReceiveCount"])

	must(svc.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
		QueueUrl: &url, ReceiptHandle: messages[0].ReceiptHandle, VisibilityTimeout: 0,
	}))
	again := receive(url, 10)
	same(1, len(again))
	same("2", again[0].Attributes["ApproximateReceiveCount"])
	deleted := must(svc.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &url,
		Entries: []types.DeleteMessageBatchRequestEntry{
			{Id: aws.String("x"), ReceiptHandle: again[0].ReceiptHandle},
			{Id: aws.String("y"), ReceiptHandle: messages[1].ReceiptHandle},
		}}))
	same(2, len(deleted.Successful))

	begin := time.Now()
	time.AfterFunc(300*time.Millisecond, func() {
		must(svc.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("wake")}))
	})
	polled := must(svc.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &url, WaitTimeSeconds: 20}))
	same("wake", *polled.Messages[0].Body)
	if time.Since(begin) > 5*time.Second {
		log.Fatalln("the long poll took", time.Since(begin))
	}
	must(svc.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: &url}))
}

func fifo(name string) {
	url := create(name+".fifo", map[string]string{"FifoQueue": "true", "ContentBasedDeduplication": "true"})
	var ids, numbers []string
	for _, body := range []string{"a-1", "b-1", "a-2", "a-1"} {
		sent := must(svc.SendMessage(ctx, &sqs.SendMessageInput{
			QueueUrl: &url, MessageBody: aws.String(body), MessageGroupId: aws.String(body[:1]),
		}))
		ids, numbers = append(ids, *sent.MessageId), append(numbers, *sent.SequenceNumber)
	}
	same(ids[0], ids[3])
	same(numbers[0], numbers[3])
	if !(numbers[0] < numbers[1] && numbers[1] < numbers[2]) || len(numbers[0]) != 20 {
		log.Fatalln("sequence numbers are", numbers)
	}
	first := receive(url, 1)
	same("a-1", *first[0].Body)
	same("a", first[0].Attributes["MessageGroupId"])
	same(numbers[0], first[0].Attributes["SequenceNumber"])
	rest := receive(url, 10)
	same(1, len(rest))
	same("b-1", *rest[0].Body)
	must(svc.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: first[0].ReceiptHandle}))
	same("a-2", *receive(url, 10)[0].Body)
	must(svc.PurgeQueue(ctx, &sqs.PurgeQueueInput{QueueUrl: &url}))
	_, err := svc.PurgeQueue(ctx, &sqs.PurgeQueueInput{QueueUrl: &url})
	as[*types.PurgeQueueInProgress](err)
}

func deadLetters(name string) {
	dead := create(name+"-dead", nil)
	arn := must(svc.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &dead, AttributeNames: []types.QueueAttributeName{"QueueArn"},
	})).Attributes["QueueArn"]
	policy := fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":"1"}`, arn)
	url := create(name, map[string]string{"RedrivePolicy": policy, "VisibilityTimeout": "0"})
	must(svc.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("poison")}))
	same(1, len(receive(url, 10)))
	same(0, len(receive(url, 10)))
	moved := receive(dead, 10)
	same("poison", *moved[0].Body)
	same("2", moved[0].Attributes["ApproximateReceiveCount"])
	if moved[0].Attributes["DeadLetterQueueSourceArn"] == "" {
		log.Fatalln("a dead letter does not say where it came from")
	}
	sources := must(svc.ListDeadLetterSourceQueues(ctx, &sqs.ListDeadLetterSourceQueuesInput{QueueUrl: &dead}))
	same([]string{url}, sources.QueueUrls)
}

// Errors come as the SDK's own types.
func refusals(name string) {
	_, err := svc.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String(name + "-missing")})
	as[*types.QueueDoesNotExist](err)
	url := create(name, map[string]string{"DelaySeconds": "1"})
	_, err = svc.CreateQueue(ctx, &sqs.CreateQueueInput{
		QueueName: &name, Attributes: map[string]string{"DelaySeconds": "2"},
	})
	as[*types.QueueNameExists](err)
	_, err = svc.SetQueueAttributes(ctx, &sqs.SetQueueAttributesInput{
		QueueUrl: &url, Attributes: map[string]string{"Nonsense": "1"},
	})
	as[*types.InvalidAttributeName](err)
	_, err = svc.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: aws.String("junk")})
	as[*types.ReceiptHandleIsInvalid](err)
	_, err = svc.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("\x01")})
	as[*types.InvalidMessageContents](err)
	_, err = svc.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{
		QueueUrl: &url, Entries: []types.SendMessageBatchRequestEntry{},
	})
	as[*types.EmptyBatchRequest](err)
	entry := types.SendMessageBatchRequestEntry{Id: aws.String("a"), MessageBody: aws.String("x")}
	_, err = svc.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{
		QueueUrl: &url, Entries: []types.SendMessageBatchRequestEntry{entry, entry},
	})
	as[*types.BatchEntryIdsNotDistinct](err)
}

func create(name string, attributes map[string]string) string {
	return *must(svc.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})).QueueUrl
}

func receive(url string, most int32) []types.Message {
	return must(svc.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &url, MaxNumberOfMessages: most, MessageAttributeNames: []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
	})).Messages
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Output(2, err.Error())
		os.Exit(1)
	}
	return value
}

func check(err error) {
	must(0, err)
}

func as[E error](err error) {
	var wanted E
	if !errors.As(err, &wanted) {
		log.Output(2, fmt.Sprintf("%v instead of a %T", err, wanted))
		os.Exit(1)
	}
}

func same[T any](wanted, found T) {
	if !reflect.DeepEqual(wanted, found) {
		log.Output(2, fmt.Sprintf("%v instead of %v", found, wanted))
		os.Exit(1)
	}
}
