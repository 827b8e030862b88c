// A bare Node service, Fastify on MongoDB's driver: the one write of a change, recording nothing, and a read of one tag.
// As many processes as the other contenders have; the write concern is theirs too.

import cluster from 'node:cluster'
import { randomBytes } from 'node:crypto'
import fastify from 'fastify'
import { MongoClient } from 'mongodb'

const PROCESSES = 2

if (cluster.isPrimary) {
  for (let number = 0; number < PROCESSES; number++) cluster.fork()
  process.on('SIGTERM', () => process.exit(0))
} else {
  const client = await new MongoClient(process.env.BENCH_MONGO_URI, { writeConcern: { w: 'majority' } }).connect()
  const tags = client.db('bench_bare').collection('tags')
  const app = fastify()

  const answer = (document, name) => {
    const tag = document.tags.find((each) => each.name === name)
    const row = [tag.name, tag.state, tag.creationDate?.toISOString() ?? null, tag.traceid]
    return { objects: [{ properties: { 'system:tags': { value: [row] } } }] }
  }

  app.get('/ready', async () => {
    await client.db('admin').command({ ping: 1 })
    return 'ready'
  })

  app.get('/objects/:id/tags/:name', async (request, reply) => {
    const { id, name } = request.params
    const document = await tags.findOne({ _id: id, 'tags.name': name })
    return document === null ? reply.code(404).send() : answer(document, name)
  })

  app.post('/objects/:id/tags/:name/state/:state', async (request, reply) => {
    const { id, name, state } = request.params
    const members = {
      'tags.$.state': Number(state),
      'tags.$.traceid': randomBytes(8).toString('hex'),
      'tags.$.creationDate': new Date()
    }
    const document = await tags.findOneAndUpdate({ _id: id, 'tags.name': name }, { $set: members }, { returnDocument: 'after' })
    return document === null ? reply.code(404).send() : answer(document, name)
  })

  await app.listen({ host: '127.0.0.1', port: Number(process.env.BENCH_PORT) })
}
