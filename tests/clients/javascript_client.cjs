// The AWS SDK for JavaScript. It prints what `cases.py` prints.
const { BedrockRuntimeClient, ConverseCommand, ConverseStreamCommand } = require("@aws-sdk/client-bedrock-runtime");
const { readFileSync } = require("node:fs");

const bedrock = new BedrockRuntimeClient();

function request({ model, text, max_tokens }) {
  const messages = [{ role: "user", content: [{ text }] }];
  return { modelId: model, messages, inferenceConfig: { maxTokens: max_tokens } };
}

async function ask(test) {
  const answer = await bedrock.send(new ConverseCommand(request(test)));
  return { said: answer.output.message.content[0].text };
}

async function stream(test) {
  const answer = await bedrock.send(new ConverseStreamCommand(request(test)));
  const pieces = [];
  const times = [];
  for await (const event of answer.stream) {
    const piece = event.contentBlockDelta?.delta?.text;
    if (piece) {
      pieces.push(piece);
      times.push(performance.now());
    }
  }
  return { said: pieces.join(""), seconds: (times.at(-1) - times[0]) / 1000 };
}

async function main() {
  for (const [name, test] of Object.entries(JSON.parse(readFileSync(0, "utf8")))) {
    const call = { ask, stream }[test.call ?? "ask"];
    const result = await call(test).catch((error) => ({ error: error.name, message: error.message }));
    console.log(JSON.stringify({ case: name, ...result }));
  }
}

main();
