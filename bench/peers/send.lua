-- The SendMessage that our load generator sends, for wrk.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/x-amz-json-1.0"
wrk.headers["X-Amz-Target"] = "AmazonSQS.SendMessage"
wrk.headers["Authorization"] = "@AUTHORIZATION@"
wrk.body = '{"MessageBody":"@BODY@","QueueUrl":"@URL@"}'
