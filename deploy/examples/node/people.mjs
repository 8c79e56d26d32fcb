#!/usr/bin/env node
// Prints the people who are mentioned, as they are mentioned, until Ctrl-C.
//
//   npm ci
//   node people.mjs [--brokers HOST:PORT,…] [--topic entities.per] [--from latest|earliest] [--group NAME]

import { randomUUID } from "node:crypto";
import { parseArgs } from "node:util";
import { Kafka, logLevel } from "kafkajs";

// Delivery is at least once: after a restart or a rebalance of the worker some mentions come again, with the same id.
const REMEMBERED_IDS = 100_000;

function end(status, sentence) {
  console.error(sentence);
  process.exit(status);
}

function parseOptions() {
  try {
    const { values } = parseArgs({
      options: {
        brokers: { type: "string", default: "127.0.0.1:9092" },
        topic: { type: "string", default: "entities.per" },
        from: { type: "string", default: "latest" },
        group: { type: "string" },
      },
    });
    return values;
  } catch (error) {
    return end(2, `${error.message.split(". ")[0]}; expected --brokers, --topic, --from and --group, each with a value`);
  }
}
const options = parseOptions();
if (!["latest", "earliest"].includes(options.from)) {
  end(2, `--from: received ${options.from}, expected latest or earliest`);
}

const kafka = new Kafka({ clientId: "people", brokers: options.brokers.split(","), logLevel: logLevel.NOTHING });
const consumer = kafka.consumer({
  // kafkajs always reads as a group. With a name of its own each run starts where --from says; with yours, a run goes
  // on where the last one stopped, --from counts the first time only, and runs side by side share the partitions.
  groupId: options.group ?? `people-${randomUUID()}`,
  allowAutoTopicCreation: false, // a broker would not make it as the worker needs it
  maxWaitTimeInMs: 1_000, // how long a fetch waits for messages, and so how long leaving may take
});

const seen = new Set(); // in the order of arrival, so the first is the oldest
function isNew(id) {
  if (seen.has(id)) return false;
  seen.add(id);
  if (seen.size > REMEMBERED_IDS) seen.delete(seen.values().next().value);
  return true;
}

// Without line breaks and terminal escapes: strangers wrote it.
const oneLine = (text) => text.replace(/[\s\p{Cc}]+/gu, " ");

process.stdout.on("error", () => process.exit()); // `| head` had enough
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => consumer.disconnect());
// kafkajs tries again by itself where that may help; where not, let a supervisor start this anew.
consumer.on(consumer.events.CRASH, ({ payload }) => payload.restart || process.exit(1));

async function checkTopic() {
  const admin = kafka.admin();
  try {
    await admin.connect();
    const topics = await admin.listTopics();
    if (!topics.includes(options.topic)) {
      end(1, `no topic ${options.topic} at ${options.brokers}; \`mner-worker topics\` makes the worker's`);
    }
  } catch (error) {
    end(1, `no broker at ${options.brokers}: ${error.message}`);
  } finally {
    await admin.disconnect();
  }
}

await checkTopic();
// What is wrong from here on goes to standard error; less than warnings would go to standard output, which is for names.
kafka.logger().setLogLevel(logLevel.WARN);
await consumer.connect();
await consumer.subscribe({ topic: options.topic, fromBeginning: options.from === "earliest" });
await consumer.run({
  // An offset is committed after its message was handled, so a crash repeats some and loses none.
  eachMessage: async ({ message }) => {
    const person = JSON.parse(message.value);
    if (!isNew(person.id)) return;
    const percent = Math.round(100 * person.confidence);
    console.log(oneLine(`${person.text} (${percent}%) in post ${person.post_id}`));
  },
});
