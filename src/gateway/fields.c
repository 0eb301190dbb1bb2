// SPDX-License-Identifier: MIT
/* The table of fields; see fields.h. */
#include "gateway/fields.h"

#include <stdio.h>
#include <string.h>

struct field {
    const char *name;
    double min, max; /* of numbers; both 0: not a number, or any */
};

/* clang-format off */
static const struct field table[] = {
    /* OpenAI, chat and completions */
    {"model"}, {"messages"}, {"prompt"}, {"input"}, {"suffix"}, {"echo"}, {"stream"}, {"stream_options"},
    {"max_completion_tokens", -1, 1 << 24}, {"max_tokens", -1, 1 << 24}, {"temperature", 0, 100},
    {"top_p", 0, 1}, {"n", 1, 16}, {"best_of", 1, 16}, {"stop"}, {"seed", -2147483648.0, 18446744073709551615.0},
    {"logprobs", 0, 20}, {"top_logprobs", 0, 20}, {"logit_bias"}, {"presence_penalty", -2, 2},
    {"frequency_penalty", -2, 2}, {"tools"}, {"tool_choice"}, {"parallel_tool_calls"}, {"functions"},
    {"function_call"}, {"response_format"}, {"reasoning_effort"}, {"verbosity"}, {"modalities"}, {"prediction"},
    {"service_tier"}, {"store"}, {"metadata"}, {"user"}, {"safety_identifier"}, {"prompt_cache_key"},
    {"prompt_cache_options"}, {"prompt_cache_retention"}, {"web_search_options"}, {"moderation"},
    /* embeddings, rerank */
    {"encoding_format"}, {"dimensions", 1, 65536}, {"query"}, {"documents"}, {"top_n", 1, 65536},
    {"return_documents"},
    /* llama-server's own, sampling only */
    {"n_predict", -1, 1 << 24}, {"top_k", 0, 1 << 20}, {"min_p", 0, 1}, {"typical_p", 0, 1},
    {"repeat_penalty", 0, 10}, {"repeat_last_n", -1, 1 << 20}, {"mirostat", 0, 2}, {"mirostat_tau", 0, 100},
    {"mirostat_eta", 0, 1}, {"dynatemp_range", 0, 100}, {"dynatemp_exponent", 0, 100},
    {"xtc_probability", 0, 1}, {"xtc_threshold", 0, 1}, {"dry_multiplier", 0, 100}, {"dry_base", 0, 100},
    {"dry_allowed_length", 0, 1 << 20}, {"dry_penalty_last_n", -1, 1 << 20}, {"dry_sequence_breakers"},
    {"top_n_sigma", -1, 100}, {"min_keep", 0, 1 << 20}, {"n_probs", 0, 20}, {"ignore_eos"}, {"samplers"},
    {"json_schema"}, {"cache_prompt"}, {"chat_template_kwargs"}, {"reasoning_format"}, {"timings_per_token"},
    {"return_progress"}, {"post_sampling_probs"}, {"add_generation_prompt"},
};
/* clang-format on */

static const struct field *find(struct bytes key)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (bytes_eq_str(key, table[i].name))
            return &table[i];
    return NULL;
}

int fields_check(const struct json_skim *skim, char *why, size_t why_size)
{
    for (size_t i = 0; i < skim->count; i++) {
        const struct json_member *m = &skim->members[i];
        struct bytes key = bytes_of(skim->text.p + m->key_at, m->key_n);
        const struct field *f = find(key);
        double v;
        if (!f) {
            snprintf(why, why_size,
                     "this provider does not take the field '%.*s' from others (its owner can "
                     "allow it with --allow-extra-fields)",
                     (int)(key.n < 60 ? key.n : 60), (const char *)key.p);
            return E_DENIED;
        }
        if (m->kind != JSON_NUMBER || (f->min == 0 && f->max == 0))
            continue;
        if (!json_skim_number(skim, f->name, &v) || !(v >= f->min && v <= f->max)) {
            snprintf(why, why_size, "'%s' must be from %g to %g", f->name, f->min, f->max);
            return E_DENIED;
        }
    }
    return 0;
}
