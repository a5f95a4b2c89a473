"""Chat templates of published models, in words of our own: the marks and rules are theirs.

Each says which tokens act, what ends a reply, and whether its model spells text as SentencePiece
does (with a blank before the first word) or in bytes.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """One template and the tokens of its model."""

    source: str
    marks: tuple[str, ...]
    """Tokens that act, all of them special but those that `plain` names."""
    end: str
    """What the model generates last; empty if a reply is ended by nothing of the template."""
    bos: str | None = None
    eos: str | None = None
    is_sentencepiece: bool = False
    plain: tuple[str, ...] = ()
    """Added tokens without the special flag."""


CHAT_ML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' "
    "+ '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

ZEPHYR = """{% for m in messages %}
{% if m['role'] in ('user', 'system') %}
{{ '<|' + m['role'] + '|>\n' + m['content'] + eos_token }}
{% elif m['role'] == 'assistant' %}
{{ '<|assistant|>\n'  + m['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}"""

QWEN_25 = """{%- if messages[0]['role'] == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
{%- else %}
    {{- '<|im_start|>system\\nYou are of help.<|im_end|>\\n' }}
{%- endif %}
{%- for m in messages %}
    {%- if m.role == 'user' or (m.role == 'system' and not loop.first) or (m.role == 'assistant'
        and not m.tool_calls) %}
        {{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>' + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

QWEN_3 = """{%- if messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(open=true, last=messages|length - 1) %}
{%- for m in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.open and m.role == 'user' and m.content is string
        and not (m.content.startswith('<tool_response>')
                 and m.content.endswith('</tool_response>')) %}
        {%- set ns.open = false %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for m in messages %}
    {%- set content = m.content if m.content is string else '' %}
    {%- if m.role == 'user' or (m.role == 'system' and not loop.first) %}
        {{- '<|im_start|>' + m.role + '\\n' + content + '<|im_end|>\\n' }}
    {%- elif m.role == 'assistant' %}
        {%- set thought = '' %}
        {%- if m.reasoning_content is string %}
            {%- set thought = m.reasoning_content %}
        {%- elif '</think>' in content %}
            {%- set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1] %}
            {%- set thought = thought.lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last and (loop.last or thought) %}
            {{- '<|im_start|>assistant\\n<think>\\n' + thought.strip('\\n') + '\\n</think>\\n\\n' }}
            {{- content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>assistant\\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}"""

LLAMA_2 = (
    "{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}"
    "{% set order = messages[0]['content'] %}{% else %}{% set rest = messages %}"
    "{% set order = false %}{% endif %}{% for m in rest %}"
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Roles take turns: user, assistant, user, ...') }}{% endif %}"
    "{% if loop.index0 == 0 and order != false %}"
    "{% set content = '<<SYS>>\n' + order + '\n<</SYS>>\n\n' + m['content'] %}"
    "{% else %}{% set content = m['content'] %}{% endif %}{% if m['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
    "{% elif m['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}"
    "{% endif %}{% endfor %}"
)

MISTRAL_01 = (
    "{{ bos_token }}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Roles take turns: user, assistant, user, ...') }}{% endif %}"
    "{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% elif m['role'] == 'assistant' %}{{ m['content'] + eos_token + ' ' }}"
    "{% else %}{{ raise_exception('Only user and assistant speak here.') }}{% endif %}{% endfor %}"
)

MISTRAL_03 = """{%- if messages[0]["role"] == "system" %}
    {%- set order = messages[0]["content"] %}
    {%- set rest = messages[1:] %}
{%- else %}
    {%- set rest = messages %}
{%- endif %}
{{- bos_token }}
{%- for m in rest %}
    {%- if (m.role == "user") != (loop.index0 % 2 == 0) %}
        {{- raise_exception("After the order, roles take turns: user, assistant, ...") }}
    {%- endif %}
    {%- if m.role == "user" %}
        {%- if loop.last and order is defined %}
            {{- "[INST] " + order + "\\n\\n" + m.content + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + m.content + "[/INST]" }}
        {%- endif %}
    {%- else %}
        {{- " " + m.content | trim + eos_token }}
    {%- endif %}
{%- endfor %}"""

NEMO = MISTRAL_03.replace('"[INST] "', '"[INST]"').replace('" " + m.content | trim', "m.content")

PHI_3 = (
    "{% for m in messages %}{% if m['role'] == 'system' %}"
    "{{ '<|system|>\n' + m['content'] + '<|end|>\n' }}{% elif m['role'] == 'user' %}"
    "{{ '<|user|>\n' + m['content'] + '<|end|>\n' }}{% elif m['role'] == 'assistant' %}"
    "{{ '<|assistant|>\n' + m['content'] + '<|end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)

LLAMA_3 = """{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set order = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set order = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{{- "Cutting Knowledge Date: December 2023\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- order }}
{{- "<|eot_id|>" }}
{%- for m in messages %}
    {{- '<|start_header_id|>' + m['role'] + '<|end_header_id|>\\n\\n' }}
    {{- m['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""

GEMMA_2 = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('There is no system here.') }}{% endif %}{% for m in messages %}"
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Roles take turns: user, assistant, user, ...') }}{% endif %}"
    "{% if (m['role'] == 'assistant') %}{% set role = 'model' %}{% else %}"
    "{% set role = m['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\n' + m['content'] | trim "
    "+ '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}"
)

GEMMA_3 = """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set before = messages[0]['content'] + '\n\n' -%}
    {%- else -%}
        {%- set before = messages[0]['content'][0]['text'] + '\n\n' -%}
    {%- endif -%}
    {%- set rest = messages[1:] -%}
{%- else -%}
    {%- set before = "" -%}
    {%- set rest = messages -%}
{%- endif -%}
{%- for m in rest -%}
    {%- if (m['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("Roles take turns: user, assistant, user, ...") }}
    {%- endif -%}
    {%- set role = "model" if m['role'] == 'assistant' else m['role'] -%}
    {{ '<start_of_turn>' + role + '\n' + (before if loop.first else "") }}
    {%- if m['content'] is string -%}
        {{ m['content'] | trim }}
    {%- else -%}
        {{ raise_exception("Only text is written here.") }}
    {%- endif -%}
    {{ '<end_of_turn>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{'<start_of_turn>model\n'}}
{%- endif -%}
"""

SMOL_LM_2 = (
    "{% for m in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are called Smol.<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

SMOL_LM_3 = """{%- set mode = "/think" -%}
{%- if enable_thinking is defined and not enable_thinking -%}{%- set mode = "/no_think" -%}
{%- endif -%}
{{- "<|im_start|>system\n" -}}
{%- if messages[0].role == "system" -%}
    {%- set order = messages[0].content -%}
    {%- if "/no_think" in order -%}{%- set mode = "/no_think" -%}{%- endif -%}
    {%- set order = order.replace("/no_think", "").replace("/think", "").rstrip() -%}
{%- endif -%}
{%- set today = strftime_now("%d %B %Y") -%}
{{- "## About\n\nToday Date: " ~ today ~ "\nReasoning Mode: " + mode + "\n\n" -}}
{{- "## Orders\n\n" + (order if order else "You are called Smol.") + "\n\n" -}}
{{- "<|im_end|>\n" -}}
{%- for m in messages -%}
    {%- set content = m.content if m.content is string else "" -%}
    {%- if m.role == "user" -%}
        {{ "<|im_start|>" + m.role + "\n"  + content + "<|im_end|>\n" }}
    {%- elif m.role == "assistant" -%}
        {% generation %}
        {%- if mode == "/think" -%}
            {{ "<|im_start|>assistant\n" + content.lstrip("\n") + "<|im_end|>\n" }}
        {%- else -%}
            {{ "<|im_start|>assistant\n" + "<think>\n\n</think>\n" + content.lstrip("\n")
               + "<|im_end|>\n" }}
        {%- endif -%}
        {% endgeneration %}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {%- if mode == "/think" -%}{{ "<|im_start|>assistant\n" }}
    {%- else -%}{{ "<|im_start|>assistant\n" + "<think>\n\n</think>\n" }}{%- endif -%}
{%- endif -%}
"""

GLM = """[gMASK]<sop>
{%- macro seen(content) -%}
    {%- if content is string -%}{{- content }}
    {%- elif content is iterable and content is not mapping -%}
        {%- for part in content -%}{{- part.text if part is mapping else part }}{%- endfor -%}
    {%- else -%}{{- content }}{%- endif -%}
{%- endmacro -%}
{%- set ns = namespace(last=-1) %}
{%- for m in messages %}
    {%- if m.role == 'user' %}{% set ns.last = loop.index0 -%}{%- endif %}
{%- endfor %}
{% for m in messages %}
{%- if m.role == 'user' -%}<|user|>
{{ seen(m.content) }}
{%- elif m.role == 'assistant' -%}
<|assistant|>
{%- set thought = '' %}
{%- set content = seen(m.content) %}
{%- if '</think>' in content %}
    {%- set thought = content.split('</think>')[0].rstrip('\n').split('<think>')[-1] %}
    {%- set thought = thought.lstrip('\n') %}
    {%- set content = content.split('</think>')[-1].lstrip('\n') %}
{%- endif %}
{%- if loop.index0 > ns.last and thought -%}
{{ '\n<think>' + thought.strip() + '</think>'}}
{%- else -%}
{{ '\n<think></think>' }}
{%- endif -%}
{%- if content.strip() -%}
{{ '\n' + content.strip() }}
{%- endif -%}
{%- elif m.role == 'system' -%}
<|system|>
{{ seen(m.content) }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}"""

FALCON_3 = """{%- for m in messages %}
{%- if m['role'] == 'system' %}{{ '<|system|>\n' + m['content'] + '\n' }}
{%- elif m['role'] == 'user' %}{{ '<|user|>\n' + m['content'] + '\n' }}
{%- elif m['role'] == 'assistant' %}
{%- if not loop.last %}{{ '<|assistant|>\n' + m['content'] + eos_token + '\n' }}
{%- else %}{{ '<|assistant|>\n' + m['content'] + eos_token }}{%- endif %}
{%- endif %}
{%- if loop.last and add_generation_prompt %}{{ '<|assistant|>\n' }}{%- endif %}
{%- endfor %}"""

DEEPSEEK_2 = (
    "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}"
    "{% endif %}"
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}"
    "{{ 'User: ' + m['content'] + '\n\n' }}{% elif m['role'] == 'assistant' %}"
    "{{ 'Assistant: ' + m['content'] + eos_token }}{% elif m['role'] == 'system' %}"
    "{{ m['content'] + '\n\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)

_ML = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
_HEADERS = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
_THINK = ("<think>", "</think>")

PUBLISHED: dict[str, Published] = {
    "zephyr": Published(ZEPHYR, (), "</s>", bos="<s>", eos="</s>", is_sentencepiece=True),
    "chatml": Published(CHAT_ML, _ML, "<|im_end|>", eos="<|im_end|>"),
    "qwen2.5": Published(QWEN_25, _ML, "<|im_end|>", eos="<|im_end|>"),
    "qwen3": Published(QWEN_3, _ML, "<|im_end|>", eos="<|im_end|>", plain=_THINK),
    "llama-2": Published(LLAMA_2, (), "</s>", bos="<s>", eos="</s>", is_sentencepiece=True),
    "mistral-0.1": Published(MISTRAL_01, (), "</s>", bos="<s>", eos="</s>", is_sentencepiece=True),
    "mistral-0.3": Published(
        MISTRAL_03, ("[INST]", "[/INST]"), "</s>", bos="<s>", eos="</s>", is_sentencepiece=True
    ),
    "nemo": Published(NEMO, ("<s>", "</s>", "[INST]", "[/INST]"), "</s>", bos="<s>", eos="</s>"),
    "phi-3": Published(
        PHI_3,
        ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>"),
        "<|end|>",
        bos="<s>",
        eos="<|endoftext|>",
        is_sentencepiece=True,
    ),
    "llama-3": Published(
        LLAMA_3, _HEADERS, "<|eot_id|>", bos="<|begin_of_text|>", eos="<|eot_id|>"
    ),
    "gemma-2": Published(
        GEMMA_2, ("<bos>", "<start_of_turn>", "<end_of_turn>"), "<end_of_turn>", bos="<bos>"
    ),
    "gemma-3": Published(
        GEMMA_3, ("<bos>", "<start_of_turn>", "<end_of_turn>"), "<end_of_turn>", bos="<bos>"
    ),
    "smollm2": Published(SMOL_LM_2, _ML, "<|im_end|>", eos="<|im_end|>"),
    "smollm3": Published(SMOL_LM_3, _ML, "<|im_end|>", eos="<|im_end|>", plain=_THINK),
    "glm": Published(
        GLM,
        ("[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|endoftext|>"),
        "<|user|>",
        eos="<|endoftext|>",
        plain=_THINK,
    ),
    "falcon3": Published(
        FALCON_3,
        ("<|system|>", "<|user|>", "<|assistant|>", "<|endoftext|>"),
        "<|endoftext|>",
        eos="<|endoftext|>",
    ),
    "deepseek-2": Published(
        DEEPSEEK_2,
        ("<|begin_of_sentence|>", "<|end_of_sentence|>"),
        "<|end_of_sentence|>",
        bos="<|begin_of_sentence|>",
        eos="<|end_of_sentence|>",
    ),
}
