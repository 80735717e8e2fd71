/* CUDA graphs, captured from a stream. Memory neither comes nor goes meanwhile, on any thread: that would
 * tie the captured stream to others. */
#include "core/alloc.h"
#include "core/error.h"
#include "device/cuda/cuda.h"

typedef struct graph {
    weft_graph graph;
    cudaGraphExec_t exec;
    cudaStream_t stream;
} graph;

weft_status weft__cuda_graph_begin(weft_stream *stream)
{
    weft__cuda_stream *s = cuda_stream_of(stream);
    weft__cuda *c = cuda_of(stream->device);
    pthread_mutex_lock(&c->lock);
    const weft_status code = weft__cuda_status(
        stream->device, "beginning a graph",
        cudaStreamBeginCapture(cuda_on(stream), cudaStreamCaptureModeThreadLocal));
    s->makes_graph = code == WEFT_OK;
    if (code)
        pthread_mutex_unlock(&c->lock);
    return code;
}

static cudaError_t instantiate(cudaGraph_t made, graph *g)
{
    const cudaError_t e = cudaGraphInstantiate(&g->exec, made, 0);
    cudaGraphDestroy(made);
    return e ? e : cudaGraphUpload(g->exec, g->stream);
}

weft_status weft__cuda_graph_end(weft_stream *stream, weft_graph **out)
{
    weft__cuda_stream *s = cuda_stream_of(stream);
    weft_device *d = stream->device;
    graph *g = weft__new(1, sizeof *g);
    cudaGraph_t made = NULL;
    cudaError_t e = cudaStreamEndCapture(cuda_on(stream), &made);
    s->makes_graph = false;
    pthread_mutex_unlock(&cuda_of(d)->lock);
    if (!g) {
        if (made)
            cudaGraphDestroy(made);
        return WEFT_ENOMEM;
    }
    *g = (graph){.graph = {.device = d, .self = g}, .stream = s->cuda};
    if (made && !e)
        e = instantiate(made, g);
    if (e) {
        if (g->exec)
            cudaGraphExecDestroy(g->exec);
        weft__free(g);
        return weft__cuda_status(d, "making a graph", e);
    }
    *out = &g->graph;
    return WEFT_OK;
}

weft_status weft__cuda_graph_launch(weft_stream *s, weft_graph *self)
{
    const graph *g = self->self;
    return weft__cuda_status(s->device, "launching a graph", cudaGraphLaunch(g->exec, cuda_on(s)));
}

void weft__cuda_graph_free(weft_graph *self)
{
    graph *g = self->self;
    cudaSetDevice(cuda_of(self->device)->index);
    cudaStreamSynchronize(g->stream);
    cudaGraphExecDestroy(g->exec);
    weft__free(g);
}
