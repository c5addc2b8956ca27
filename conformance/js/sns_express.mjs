// An Express application with the two SNS packages of npm: /validator checks messages with sns-validator, /middleware
// hands them to express-aws-sns. Both are as they come: they trust certificates of sns.us-east-1.amazonaws.com and no
// others, and where that name leads is all that is different here. Prints its port, then each message as a JSON line.
// Usage: node sns_express.mjs   (module directory: $TSUGITE_NODE_MODULES, TLS front of the AWS port: $SNS_TLS_PORT, its
// authority: $NODE_EXTRA_CA_CERTS)
import { createRequire } from "node:module";
import https from "node:https";
import path from "node:path";
import tls from "node:tls";

const require = createRequire(path.join(process.env.TSUGITE_NODE_MODULES, "x.js"));
const express = require("express");
const sns = require("express-aws-sns");
const Validator = require("sns-validator");

// What the name service does for everybody else.
https.globalAgent.createConnection = ({ servername, host }) =>
  tls.connect({ host: "127.0.0.1", port: Number(process.env.SNS_TLS_PORT), servername: servername || host });

const tell = (by, message) => console.log(JSON.stringify({ by, ...message }));

async function take(by, message, response) {
  tell(by, message);
  if (message.Type === "SubscriptionConfirmation") {
    const confirmed = await fetch(message.SubscribeURL);
    if (!confirmed.ok) throw new Error(`the link answers ${confirmed.status}`);
  }
  response.sendStatus(204);
}

const app = express();
const validator = new Validator();
app.post("/validator", express.text({ type: "*/*" }), (request, response, next) => {
  validator.validate(request.body, (error, message) => {
    if (error) return next(error);
    take("validator", message, response).catch(next);
  });
});
app.post("/middleware", sns(), (request, response, next) => {
  take("middleware", request.snsMessage, response).catch(next);
});
app.use((error, _request, response, _next) => response.status(403).send(error.message));
const server = app.listen(0, "127.0.0.1", () => console.log(server.address().port));
