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

const { values: options } = parseArgs({
  options: {
    brokers: { type: "string", default: "127.0.0.1:9092" },
    topic: { type: "string", default: "entities.per" },
    from: { type: "string", default: "latest" },
    group: { type: "string" },
  },
});
if (!["latest", "earliest"].includes(options.from)) {
  console.error(`--from: received ${options.from}, expected latest or earliest`);
  process.exit(2);
}

// Warnings and errors go to standard error; what is less would go to standard output, which is for names.
const kafka = new Kafka({ clientId: "people", brokers: options.brokers.split(","), logLevel: logLevel.WARN });
const consumer = kafka.consumer({
  // kafkajs always reads as a group. With a name of its own each run starts where --from says; with yours, a run goes
  // on where the last one stopped, --from counts the first time only, and runs side by side share the partitions.
  groupId: options.group ?? `people-${randomUUID()}`,
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
