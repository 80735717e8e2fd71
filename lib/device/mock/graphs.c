/* Graphs of a mock device: records as of a queue, which stay. Where they lie was found when the graph was
 * made: memory that has gone since is NaN, or somebody else's. */
#include "device/mock/mock.h"

#include "core/alloc.h"

struct weft__mock_graph {
    weft_graph graph;
    char *record;
    size_t room, bytes;
    weft_status failed; /* of what was to be kept */
};

static weft_status run(weft_stream *s, const void *record)
{
    const weft__mock_graph *g = *(weft__mock_graph *const *)record;
    for (size_t at = 0; at < g->bytes;) {
        const weft__mock_header *h = (const weft__mock_header *)(const void *)(g->record + at);
        WEFT_TRY(h->run(s, h + 1));
        at += h->bytes;
    }
    return WEFT_OK;
}

weft_status weft__mock_graph_begin(weft_stream *stream)
{
    weft__mock_stream *s = stream->self;
    weft__mock_graph *g = weft__new(1, sizeof *g);
    if (!g)
        return WEFT_ENOMEM;
    g->graph = (weft_graph){.device = stream->device, .self = g};
    s->graph = g;
    return WEFT_OK;
}

void *weft__mock_graph_room(weft__mock_graph *g, size_t need)
{
    return weft__grow(&g->record, &g->room, g->bytes + need, 1)
               ? NULL
               : g->record + g->bytes + sizeof(weft__mock_header);
}

weft_status weft__mock_graph_put(weft__mock_graph *g, weft_status code, weft__mock_run *run_it,
                                 size_t need)
{
    if (code >= 0) {
        weft__mock_header *h = (weft__mock_header *)(void *)(g->record + g->bytes);
        *h = (weft__mock_header){.run = run_it, .bytes = need};
        g->bytes += need;
    } else if (!g->failed) {
        g->failed = code;
    }
    return code;
}

weft_status weft__mock_graph_end(weft_stream *stream, weft_graph **out)
{
    weft__mock_stream *s = stream->self;
    weft__mock_graph *g = s->graph;
    const weft_status code = g->failed;
    s->graph = NULL;
    if (code)
        weft__mock_graph_free(&g->graph);
    else
        *out = &g->graph;
    return code;
}

weft_status weft__mock_graph_launch(weft_stream *s, weft_graph *graph)
{
    weft__mock_graph **record = weft__mock_begin(s, sizeof *record);
    if (record)
        *record = graph->self;
    return weft__mock_put(s, record ? WEFT_OK : WEFT_ENOMEM, run, sizeof *record);
}

void weft__mock_graph_free(weft_graph *graph)
{
    weft__mock *m = graph->device->self;
    weft__mock_graph *g = graph->self;
    weft__mock_lock(m);
    weft__mock_drain(m);
    weft__mock_unlock(m);
    weft__free(g->record);
    weft__free(g);
}
