// Drives the emulator with the official JavaScript SDK, unchanged but for its base URL.
// usage: node drive.mjs BASE_URL FOLDER      prints one JSON object of what it saw

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { GoogleGenAI } from '@google/genai';

const [base, folder] = process.argv.slice(2);
const client = new GoogleGenAI({ apiKey: 'javascript', httpOptions: { baseUrl: base } });
const MODEL = 'gemini-2.5-flash';
const seen = {};

async function ended(name) {
  for (;;) {
    const job = await client.batches.get({ name });
    if (/SUCCEEDED|FAILED|CANCELLED|EXPIRED/.test(job.state)) return job;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function refusal(promise) {
  try {
    await promise;
    return 'none';
  } catch (error) {
    return error.status;
  }
}

const inline = await client.batches.create({
  model: MODEL,
  src: [
    { contents: [{ parts: [{ text: 'one' }], role: 'user' }], metadata: { key: 'a' } },
    { contents: [{ parts: [{ text: 'two' }], role: 'user' }], config: { temperature: 0.5 } },
  ],
  config: { displayName: 'inline' },
});
const inlineJob = await ended(inline.name);
seen.inline = {
  first: inline.state,
  last: inlineJob.state,
  displayName: inline.displayName,
  texts: inlineJob.dest.inlinedResponses.map((item) => item.response.candidates[0].content.parts[0].text),
  metadata: inlineJob.dest.inlinedResponses[0].metadata,
};

const input = join(folder, 'in.jsonl');
const lines = [0, 1, 2].map((n) => ({ key: `r${n}`, request: { contents: [{ parts: [{ text: `q${n}` }] }] } }));
await writeFile(input, lines.map((line) => JSON.stringify(line) + '\n').join(''));
const file = await client.files.upload({ file: input, config: { mimeType: 'application/jsonl', displayName: 'in' } });
const fileJob = await ended((await client.batches.create({ model: MODEL, src: file.name })).name);
const output = join(folder, 'out.jsonl');
await client.files.download({ file: fileJob.dest.fileName, downloadPath: output });
await new Promise((resolve) => setTimeout(resolve, 300));
seen.file = {
  state: file.state,
  sizeBytes: file.sizeBytes,
  got: (await client.files.get({ name: file.name })).name === file.name,
  keys: (await readFile(output, 'utf8')).trim().split('\n').map((line) => JSON.parse(line).key),
};

const embeddings = await client.batches.createEmbeddings({
  model: 'gemini-embedding-001',
  src: { inlinedRequests: { contents: ['a', 'b'], config: { outputDimensionality: 5 } } },
});
const embedded = await ended(embeddings.name);
seen.embeddings = embedded.dest.inlinedEmbedContentResponses.map((item) => item.response.embedding.values.length);

const vectors = join(folder, 'embed.jsonl');
await writeFile(vectors, JSON.stringify({ key: 'v', request: { content: { parts: [{ text: '1' }] }, output_dimensionality: 3 } }));
const vectorFile = await client.files.upload({ file: vectors, config: { mimeType: 'application/jsonl' } });
const byFile = await client.batches.createEmbeddings({ model: 'gemini-embedding-001', src: { fileName: vectorFile.name } });
const vectorOutput = join(folder, 'vectors.jsonl');
await client.files.download({ file: (await ended(byFile.name)).dest.fileName, downloadPath: vectorOutput });
await new Promise((resolve) => setTimeout(resolve, 300));
seen.embeddingsByFile = JSON.parse(await readFile(vectorOutput, 'utf8')).response.embedding.values.length;
await client.files.delete({ name: vectorFile.name });

const doomed = await client.batches.create({ model: MODEL, src: [{ contents: [{ parts: [{ text: 'x' }] }] }] });
await client.batches.cancel({ name: doomed.name });
seen.cancelled = (await ended(doomed.name)).state;

const names = [];
for await (const job of await client.batches.list({ config: { pageSize: 2 } })) names.push(job.name);
seen.listed = names.length;
const files = [];
for await (const one of await client.files.list({ config: { pageSize: 2 } })) files.push(one.name);
seen.files = files.length;

await client.batches.delete({ name: doomed.name });
await client.files.delete({ name: file.name });
seen.errors = {
  deletedBatch: await refusal(client.batches.get({ name: doomed.name })),
  deletedFile: await refusal(client.files.get({ name: file.name })),
  model: await refusal(client.batches.create({ model: 'gemini-0', src: file.name })),
  missing: await refusal(client.batches.create({ model: MODEL, src: 'files/nobody' })),
};
console.log(JSON.stringify(seen));
