/* Philox4x32-10: ten rounds of two 32x32 -> 64 bit products. */
#include "core/rng.h"

#include "core/hash.h"

void weft__philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53u * c0, b = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(b >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)b;
        c2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)a;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* The finaliser of MurmurHash3: every input bit reaches every output bit. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 33) * 0xFF51AFD7ED558CCDu;
    x = (x ^ x >> 33) * 0xC4CEB9FE1A85EC53u;
    return x ^ x >> 33;
}

void weft__draw_key(uint64_t seed, uint64_t stream, uint32_t key[2])
{
    const uint64_t k = mix(seed + 0x9E3779B97F4A7C15u) ^ mix(stream ^ 0xD1B54A32D192ED03u);
    key[0] = (uint32_t)k;
    key[1] = (uint32_t)(k >> 32);
}

void weft__draw(uint64_t seed, uint64_t stream, uint64_t step, uint64_t block, uint32_t out[4])
{
    uint32_t key[2];
    weft__draw_key(seed, stream, key);
    const uint32_t counter[4] = {(uint32_t)block, (uint32_t)(block >> 32), (uint32_t)step,
                                 (uint32_t)(step >> 32)};
    weft__philox(counter, key, out);
}

float weft__uniform_f32(uint64_t seed, uint64_t stream, uint64_t step, uint64_t i)
{
    uint32_t w[4];
    weft__draw(seed, stream, step, i / 4, w);
    return (float)(w[i % 4] >> 8) * 0x1p-24f;
}

double weft__uniform_f64(uint64_t seed, uint64_t stream, uint64_t step, uint64_t i)
{
    uint32_t w[4];
    weft__draw(seed, stream, step, i / 2, w);
    uint64_t v = (uint64_t)w[i % 2 * 2] << 32 | w[i % 2 * 2 + 1];
    return (double)(v >> 11) * 0x1p-53;
}

uint64_t weft__uniform_below(uint64_t seed, uint64_t stream, uint64_t step, uint64_t i, uint64_t n)
{
    uint32_t w[4];
    weft__draw(seed, stream, step, i / 2, w);
    uint64_t v = (uint64_t)w[i % 2 * 2] << 32 | w[i % 2 * 2 + 1];
    return (uint64_t)((unsigned __int128)v * n >> 64);
}

uint64_t weft__stream_of(const char *name)
{
    return weft__hash_text(WEFT__HASH, name);
}
