// SPDX-License-Identifier: MIT
/* The choices of an event or a reply: deltas, tool calls, finish reasons. */
#include "engine/fixup_impl.h"

#include "base/mem.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>

const char *fixup_finish(struct bytes said, bool has_tools)
{
    static const struct {
        const char *theirs, *ours;
    } table[] = {
        {"stop", "stop"},
        {"length", "length"},
        {"tool_calls", "tool_calls"},
        {"content_filter", "content_filter"},
        {"function_call", "function_call"},
        {"max_tokens", "length"},
        {"tool_use", "tool_calls"},
        {"model_length", "length"},
    };
    if (said.n == 0)
        return "";
    const char *ours = "stop"; /* eos, end_turn, stop_sequence, … */
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (bytes_eq_str(said, table[i].theirs))
            ours = table[i].ours;
    }
    return has_tools && strcmp(ours, "stop") == 0 ? "tool_calls" : ours;
}

static struct fixup_tools *tools_of(struct fixup *f, size_t choice)
{
    if (!f->tools)
        f->tools = mem_array(LIMIT_FIXUP_CHOICES, sizeof *f->tools);
    return &f->tools[choice];
}

/* --- tool calls --- */

/* The number of the call that `item` belongs to. A new id begins a call; without ids, a name does. */
static uint64_t tool_index(struct fixup_pass *p, struct fixup_tools *t, const struct json *item,
                           bool *begins)
{
    uint64_t given = 0;
    bool has_index = json_u64(json_get(item, "index"), &given);
    struct bytes id = json_get_str(item, "id"),
                 name = json_get_str(json_get(item, "function"), "name");
    bool is_same = id.n > 0 && bytes_eq_str(bytes_first(id, sizeof t->id - 1), t->id);
    *begins = t->count == 0 || (id.n > 0 && !is_same) ||
              (id.n == 0 && name.n > 0 && (!has_index || given >= t->count || t->is_renumbered));
    if (*begins) {
        uint64_t index = t->count;
        if (has_index && given >= t->count && given < 4096 && !t->is_renumbered)
            index = given;
        else if (has_index)
            t->is_renumbered = true;
        p->is_right = p->is_right && has_index && given == index;
        t->count = (uint32_t)index + 1;
        return index;
    }
    uint64_t index = has_index && given < t->count && !t->is_renumbered ? given : t->count - 1;
    p->is_right = p->is_right && has_index && given == index;
    return index;
}

static void put_function(struct fixup_pass *p, const struct json *function)
{
    json_open_object(&p->w);
    for (struct json_iter it = json_iter(function); json_next(&it);) {
        json_key_bytes(&p->w, it.key);
        if (!bytes_eq_str(it.key, "arguments") || json_kind_of(it.value) != JSON_OBJECT) {
            json_put_value(&p->w, it.value);
            continue;
        }
        struct buf text; /* the schema wants a string with JSON in it */
        buf_init(&text, 0);
        struct json_writer inner = json_write(&text);
        json_put_value(&inner, it.value);
        json_put_bytes(&p->w, buf_view(&text));
        buf_fini(&text);
        p->is_right = false;
    }
    json_close_object(&p->w);
}

static void put_tool_call(struct fixup_pass *p, size_t choice, const struct json *item)
{
    struct fixup_tools *t = tools_of(p->f, choice);
    struct bytes id = json_get_str(item, "id");
    bool begins = false, was_right = p->is_right;
    uint64_t index = tool_index(p, t, item, &begins);
    if (p->is_whole)
        p->is_right = was_right; /* whole replies have no index */
    json_open_object(&p->w);
    if (!p->is_whole)
        json_member_u64(&p->w, "index", index);
    if (begins) {
        if (id.n > 0)
            snprintf(t->id, sizeof t->id, "%.*s", BYTES_FMT(bytes_first(id, sizeof t->id - 1)));
        else
            snprintf(t->id, sizeof t->id, "call_%zu_%" PRIu64, choice, index);
        json_key(&p->w, "id");
        json_put_bytes(&p->w, id.n > 0 ? id : bytes_str(t->id));
        json_member_str(&p->w, "type", "function");
        p->is_right = p->is_right && id.n > 0 && json_is_str(json_get(item, "type"), "function");
    }
    for (struct json_iter it = json_iter(item); json_next(&it);) {
        bool is_written = bytes_eq_str(it.key, "index") ||
                          (begins && (bytes_eq_str(it.key, "id") || bytes_eq_str(it.key, "type")));
        if (is_written)
            continue;
        json_key_bytes(&p->w, it.key);
        if (bytes_eq_str(it.key, "function") && json_kind_of(it.value) == JSON_OBJECT)
            put_function(p, it.value);
        else
            json_put_value(&p->w, it.value);
    }
    json_close_object(&p->w);
}

static void put_tool_calls(struct fixup_pass *p, size_t choice, const struct json *calls)
{
    json_open_array(&p->w);
    for (struct json_iter it = json_iter(calls); json_next(&it);) {
        p->f->seen[choice] |= SEEN_TOOL;
        put_tool_call(p, choice, it.value);
    }
    json_close_array(&p->w);
}

/* --- delta or message --- */
static void put_reasoning_twin(struct fixup_pass *p, const struct json *delta, const char *have,
                               const char *want)
{
    struct bytes text = json_get_str(delta, have);
    if (text.p == NULL || json_kind_of(json_get(delta, want)) != JSON_ABSENT)
        return;
    json_member_bytes(&p->w, want, text);
    p->is_right = false;
}

static void put_delta(struct fixup_pass *p, size_t choice, const struct json *delta)
{
    bool is_first = !(p->f->seen[choice] & SEEN_BEGUN) || p->is_whole;
    bool has_role = json_kind_of(json_get(delta, "role")) == JSON_STRING, has_content = false;
    json_open_object(&p->w);
    if (is_first && !has_role) {
        json_member_str(&p->w, "role", "assistant");
        p->is_right = false;
    }
    for (struct json_iter it = json_iter(delta); json_next(&it);) {
        if (bytes_eq_str(it.key, "role") && (!is_first || !has_role)) {
            p->is_right = false;
            continue;
        }
        has_content |= bytes_eq_str(it.key, "content");
        json_key_bytes(&p->w, it.key);
        if (bytes_eq_str(it.key, "tool_calls") && json_kind_of(it.value) == JSON_ARRAY)
            put_tool_calls(p, choice, it.value);
        else
            json_put_value(&p->w, it.value);
    }
    put_reasoning_twin(p, delta, "reasoning_content", "reasoning");
    put_reasoning_twin(p, delta, "reasoning", "reasoning_content");
    if (p->is_whole && !has_content) {
        json_key(&p->w, "content");
        json_put_null(&p->w);
        p->is_right = false;
    }
    json_close_object(&p->w);
    p->f->seen[choice] |= SEEN_BEGUN;
}

/* --- a choice --- */
static void put_finish(struct fixup_pass *p, size_t choice, const struct json *said)
{
    struct fixup *f = p->f;
    const char *ours = fixup_finish(json_str(said), f->seen[choice] & SEEN_TOOL);
    bool is_null = json_kind_of(said) == JSON_NULL;
    if (p->is_whole && !ours[0])
        ours = f->seen[choice] & SEEN_TOOL ? "tool_calls" : "stop";
    json_member_str(&p->w, "finish_reason", ours[0] ? ours : NULL);
    p->is_right = p->is_right && (ours[0] ? json_is_str(said, ours) : is_null);
    if (!ours[0])
        return;
    f->seen[choice] |= SEEN_FINISHED;
    if (choice == 0)
        text_copy(f->finish_reason, sizeof f->finish_reason, ours);
}

static void put_text(struct fixup_pass *p, size_t choice, const struct json *c)
{
    const struct json *text = json_get(c, "text");
    json_key(&p->w, "text");
    if (json_kind_of(text) == JSON_STRING) {
        json_put_value(&p->w, text);
    } else {
        json_put_str(&p->w, "");
        p->is_right = false;
    }
    p->f->seen[choice] |= SEEN_BEGUN;
}

static bool is_ours(struct bytes key)
{
    return bytes_eq_str(key, "index") || bytes_eq_str(key, "delta") ||
           bytes_eq_str(key, "message") || bytes_eq_str(key, "finish_reason");
}

static void put_choice(struct fixup_pass *p, const struct json *c, uint64_t position)
{
    uint64_t index = position;
    if (!json_u64(json_get(c, "index"), &index))
        p->is_right = false;
    if (index >= LIMIT_FIXUP_CHOICES || json_kind_of(c) != JSON_OBJECT) {
        p->is_broken = true;
        p->why = "the backend sent a choice that cannot be";
        return;
    }
    if (index >= p->f->choice_count)
        p->f->choice_count = (uint32_t)index + 1;
    json_open_object(&p->w);
    json_member_u64(&p->w, "index", index);
    if (p->f->cfg.path == FIXUP_COMPLETION) {
        put_text(p, index, c);
    } else {
        const char *key = p->is_whole ? "message" : "delta",
                   *other = p->is_whole ? "delta" : "message";
        const struct json *delta = json_get(c, key);
        if (json_kind_of(delta) != JSON_OBJECT) {
            delta = json_get(c, other);
            p->is_right = false;
        }
        json_key(&p->w, key);
        put_delta(p, index, delta);
    }
    for (struct json_iter it = json_iter(c); json_next(&it);) {
        if (is_ours(it.key) || (p->f->cfg.path == FIXUP_COMPLETION && bytes_eq_str(it.key, "text")))
            continue;
        json_key_bytes(&p->w, it.key);
        json_put_value(&p->w, it.value);
    }
    put_finish(p, index, json_get(c, "finish_reason"));
    json_close_object(&p->w);
}

void fixup_choices(struct fixup_pass *p, const struct json *choices)
{
    uint64_t position = 0;
    json_open_array(&p->w);
    for (struct json_iter it = json_iter(choices); json_next(&it) && !p->is_broken;)
        put_choice(p, it.value, position++);
    json_close_array(&p->w);
}
