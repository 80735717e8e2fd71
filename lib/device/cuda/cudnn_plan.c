/* From a graph to a plan: cuDNN's heuristics name its ways to compute the graph, the best first; the first
 * one that works and has no sum in any order is taken. */
#include "device/cuda/cudnn.h"

#define WAYS 16 /* that are looked at */

static void refer(weft__dnn_graph *g, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                  cudnnBackendDescriptor_t to)
{
    weft__dnn_set(g, d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &to);
}

static cudnnBackendDescriptor_t close_graph(weft__dnn_graph *g, cudnnHandle_t handle)
{
    cudnnBackendDescriptor_t d = weft__dnn_new(g, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    if (handle)
        weft__dnn_set(g, d, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle);
    weft__dnn_set(g, d, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, g->operations,
                  g->operation);
    weft__dnn_done(g, d, "the graph");
    return d;
}

/* @return how many ways there are. */
static int64_t ask(weft__dnn_graph *g, cudnnBackendDescriptor_t graph,
                   cudnnBackendDescriptor_t properties, cudnnBackendDescriptor_t *way)
{
    const cudnnBackendHeurMode_t mode = CUDNN_HEUR_MODE_A;
    int64_t n = 0;
    cudnnBackendDescriptor_t d = weft__dnn_new(g, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    refer(g, d, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
    weft__dnn_set(g, d, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    if (properties)
        refer(g, d, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, properties);
    weft__dnn_done(g, d, "the heuristics");
    for (int i = 0; i < WAYS; i++)
        way[i] = weft__dnn_new(g, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    if (!g->code &&
        (g->code = g->lib->cudnnBackendGetAttribute(d, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                                    CUDNN_TYPE_BACKEND_DESCRIPTOR, WAYS, &n, way)))
        g->failed = "what the heuristics found";
    return g->code ? 0 : n < WAYS ? n : WAYS;
}

/* Whether it gives the same bits in each run. */
static bool steady(const weft__cudnn *l, cudnnBackendDescriptor_t way)
{
    cudnnBackendNumericalNote_t note[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    cudnnBackendDescriptor_t engine = NULL;
    int64_t n = 0, notes = 0;
    bool good = !l->cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine);
    good = good && !l->cudnnBackendGetAttribute(way, CUDNN_ATTR_ENGINECFG_ENGINE,
                                                CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &n, &engine);
    good = good && !l->cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                                                CUDNN_TYPE_NUMERICAL_NOTE,
                                                CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &notes, note);
    for (int64_t i = 0; i < notes && good; i++)
        good = note[i] != CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC;
    if (engine)
        l->cudnnBackendDestroyDescriptor(engine);
    return good;
}

/* @return whether this way works. */
static bool take(weft__dnn_plan *p, cudnnBackendDescriptor_t way, cudnnHandle_t handle,
                 cudnnBackendDescriptor_t properties)
{
    weft__dnn_graph *g = &p->graph;
    int64_t n = 0;
    cudnnBackendDescriptor_t d = weft__dnn_new(g, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    if (handle)
        weft__dnn_set(g, d, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle);
    if (properties)
        refer(g, d, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, properties);
    refer(g, d, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, way);
    weft__dnn_done(g, d, "a plan");
    if (!g->code &&
        (g->code = g->lib->cudnnBackendGetAttribute(d, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
                                                    CUDNN_TYPE_INT64, 1, &n, &p->workspace)))
        g->failed = "a plan's memory";
    p->plan = g->code ? NULL : d;
    return p->plan;
}

void weft__dnn_plan_make(weft__dnn_plan *p, const weft__cudnn *l, const weft__attention_shape *s,
                         cudnnHandle_t handle, cudnnBackendDescriptor_t properties)
{
    weft__dnn_graph *g = &p->graph;
    cudnnBackendDescriptor_t way[WAYS];
    *p = (weft__dnn_plan){.graph = {.lib = l}};
    (s->back ? weft__dnn_back : weft__dnn_forward)(g, s);
    cudnnBackendDescriptor_t graph = close_graph(g, handle);
    const int64_t n = ask(g, graph, properties, way);
    for (int64_t i = 0; i < n && !p->plan; i++) {
        g->code = CUDNN_STATUS_SUCCESS;
        if (steady(l, way[i]) && take(p, way[i], handle, properties))
            return;
    }
    if (!g->code) {
        g->code = CUDNN_STATUS_NOT_SUPPORTED;
        g->failed = "ways that give the same bits in each run";
    }
}

cudnnStatus_t weft__dnn_plan_run(const weft__dnn_plan *p, cudnnHandle_t handle, void *const *at,
                                 void *workspace)
{
    int64_t number[WEFT__DNN_TENSORS], n = 0;
    void *address[WEFT__DNN_TENSORS];
    for (int i = 0; i < WEFT__DNN_TENSORS; i++)
        if (at[i]) {
            number[n] = i;
            address[n++] = at[i];
        }
    weft__dnn_graph g = {.lib = p->graph.lib};
    cudnnBackendDescriptor_t d = weft__dnn_new(&g, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    weft__dnn_set(&g, d, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, n, address);
    weft__dnn_set(&g, d, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, n, number);
    weft__dnn_set(&g, d, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
    weft__dnn_done(&g, d, "the addresses");
    if (!g.code)
        g.code = g.lib->cudnnBackendExecute(handle, p->plan, d);
    weft__dnn_free(&g);
    return g.code;
}

void weft__dnn_plan_free(weft__dnn_plan *p)
{
    weft__dnn_free(&p->graph);
}
