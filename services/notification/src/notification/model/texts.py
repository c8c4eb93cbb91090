"""The product's own texts, by key and language. A tenant may replace each by a text of its own.

Each addresses the agent (`to_self`), or another reader about the agent (`agent.name`).
"""

from notification.model.rules import Text

_BAND = "{{ kpi_title }}: {{ band_title }}"

DEFAULT_TEXTS: dict[str, dict[str, Text]] = {
    "band.entered": {
        "en": Text(
            subject="{% if to_self %}Your {{ kpi_title }} is now “{{ band_title }}”{% else %}{{ agent.name }}: "
            + _BAND
            + "{% endif %}",
            body="{% if to_self %}Your {{ kpi_title }} has moved{% else %}{{ agent.name }}'s {{ kpi_title }} has moved{% endif %}"
            "{% if from_band %} from “{{ from_band_title }}”{% endif %} to “{{ band_title }}” as of {{ at_window }}."
            "{% if value %} The last value was {{ value }}.{% endif %}",
        ),
        "zh": Text(
            subject="{% if to_self %}您的{{ kpi_title }} 现为“{{ band_title }}”{% else %}{{ agent.name }}："
            + _BAND
            + "{% endif %}",
            body="{% if to_self %}您{% else %}{{ agent.name }} {% endif %}的{{ kpi_title }} 自 {{ at_window }} 起"
            "{% if from_band %}由“{{ from_band_title }}”{% endif %}进入“{{ band_title }}”。"
            "{% if value %}最近的数值为 {{ value }}。{% endif %}",
        ),
    },
    "band.left": {
        "en": Text(
            subject="{% if to_self %}Your {{ kpi_title }} has left “{{ band_title }}”{% else %}{{ agent.name }}: {{ kpi_title }} has left "
            "“{{ band_title }}”{% endif %}",
            body="{% if to_self %}Your {{ kpi_title }}{% else %}{{ agent.name }}'s {{ kpi_title }}{% endif %} left “{{ band_title }}” as of "
            "{{ at_window }}{% if to_band %} and is now in “{{ to_band_title }}”{% endif %}.",
        ),
        "zh": Text(
            subject="{% if to_self %}您的{{ kpi_title }} 已离开“{{ band_title }}”{% else %}{{ agent.name }}：{{ kpi_title }} 已离开"
            "“{{ band_title }}”{% endif %}",
            body="{% if to_self %}您{% else %}{{ agent.name }} {% endif %}的{{ kpi_title }} 自 {{ at_window }} 起离开"
            "“{{ band_title }}”{% if to_band %}，现处于“{{ to_band_title }}”{% endif %}。",
        ),
    },
    "band.corrected": {
        "en": Text(
            subject="{% if to_self %}A correction of your {{ kpi_title }}{% else %}{{ agent.name }}: {{ kpi_title }} corrected"
            "{% endif %}",
            body="What was said of {% if to_self %}your{% else %}{{ agent.name }}'s{% endif %} {{ kpi_title }} in “{{ band_title }}” "
            "no longer holds{% if reason %}: {{ reason }}{% endif %}.",
        ),
        "zh": Text(
            subject="{% if to_self %}您的{{ kpi_title }} 有更正{% else %}{{ agent.name }}：{{ kpi_title }} 有更正{% endif %}",
            body="此前关于{% if to_self %}您{% else %} {{ agent.name }} {% endif %}的{{ kpi_title }} 处于“{{ band_title }}”的结论"
            "不再成立{% if reason %}：{{ reason }}{% endif %}。",
        ),
    },
    "assignment.assigned": {
        "en": Text(
            subject="{% if to_self %}New training: {{ title }}{% else %}{{ agent.name }} has a new training: {{ title }}"
            "{% endif %}",
            body="{% if to_self %}You have{% else %}{{ agent.name }} has{% endif %} been given the training “{{ title }}”"
            "{% if kpi %} because of {{ kpi_title }}{% if band %} in “{{ band_title }}”{% endif %}{% endif %}."
            "{% if due_at %} It is due by {{ due_at }}.{% endif %}",
        ),
        "zh": Text(
            subject="{% if to_self %}新培训：{{ title }}{% else %}{{ agent.name }} 有新培训：{{ title }}{% endif %}",
            body="{% if to_self %}您{% else %}{{ agent.name }} {% endif %}收到培训“{{ title }}”"
            "{% if kpi %}，原因：{{ kpi_title }}{% if band %}处于“{{ band_title }}”{% endif %}{% endif %}。"
            "{% if due_at %}截止时间：{{ due_at }}。{% endif %}",
        ),
    },
    "assignment.overdue": {
        "en": Text(
            subject="{% if to_self %}Overdue: {{ title }}{% else %}{{ agent.name }} is overdue with {{ title }}{% endif %}",
            body="The training “{{ title }}”{% unless to_self %} of {{ agent.name }}{% endunless %} was due by "
            "{{ due_at }} and has not been completed.",
        ),
        "zh": Text(
            subject="{% if to_self %}已逾期：{{ title }}{% else %}{{ agent.name }} 的培训已逾期：{{ title }}{% endif %}",
            body="{% unless to_self %}{{ agent.name }} 的{% endunless %}培训“{{ title }}”应于 {{ due_at }} 前完成，"
            "目前尚未完成。",
        ),
    },
    "assignment.completed": {
        "en": Text(
            subject="{% if to_self %}Completed: {{ title }}{% else %}{{ agent.name }} completed {{ title }}{% endif %}",
            body="{% if to_self %}You have{% else %}{{ agent.name }} has{% endif %} completed “{{ title }}”"
            "{% if score_percent %} with {{ score_percent }}%{% endif %}"
            "{% unless passed %}, which was not enough to pass{% endunless %}.",
        ),
        "zh": Text(
            subject="{% if to_self %}已完成：{{ title }}{% else %}{{ agent.name }} 已完成 {{ title }}{% endif %}",
            body="{% if to_self %}您{% else %}{{ agent.name }} {% endif %}已完成“{{ title }}”"
            "{% if score_percent %}，得分 {{ score_percent }}%{% endif %}{% unless passed %}，未达到及格线{% endunless %}。",
        ),
    },
    "assignment.withdrawn": {
        "en": Text(
            subject="{% if to_self %}No longer needed: {{ title }}{% else %}{{ agent.name }}: {{ title }} withdrawn"
            "{% endif %}",
            body="The training “{{ title }}”{% unless to_self %} of {{ agent.name }}{% endunless %} has been withdrawn"
            "{% if reason %}: {{ reason }}{% endif %}.",
        ),
        "zh": Text(
            subject="{% if to_self %}无需再完成：{{ title }}{% else %}{{ agent.name }}：{{ title }} 已撤回{% endif %}",
            body="{% unless to_self %}{{ agent.name }} 的{% endunless %}培训“{{ title }}”已撤回"
            "{% if reason %}：{{ reason }}{% endif %}。",
        ),
    },
    "points.granted": {
        "en": Text(
            subject="{% if to_self %}{{ points }} points: {{ title }}{% else %}{{ agent.name }} earned {{ points }} points"
            "{% endif %}",
            body="{% if to_self %}You have{% else %}{{ agent.name }} has{% endif %} earned {{ points }} points for "
            "“{{ title }}”. The balance is {{ balance }}.",
        ),
        "zh": Text(
            subject="{% if to_self %}获得 {{ points }} 分：{{ title }}{% else %}{{ agent.name }} 获得 {{ points }} 分"
            "{% endif %}",
            body="{% if to_self %}您{% else %}{{ agent.name }} {% endif %}因“{{ title }}”获得 {{ points }} 分，"
            "当前余额 {{ balance }} 分。",
        ),
    },
    "points.reversed": {
        "en": Text(
            subject="{% if to_self %}Points taken back: {{ title }}{% else %}{{ agent.name }}: points taken back"
            "{% endif %}",
            body="{{ points | abs }} points for “{{ title }}” have been taken back{% if reason %}: {{ reason }}{% endif %}. "
            "The balance is {{ balance }}.",
        ),
        "zh": Text(
            subject="{% if to_self %}积分已收回：{{ title }}{% else %}{{ agent.name }}：积分已收回{% endif %}",
            body="因“{{ title }}”获得的 {{ points | abs }} 分已收回{% if reason %}：{{ reason }}{% endif %}。"
            "当前余额 {{ balance }} 分。",
        ),
    },
    "form.published": {
        "en": Text(
            subject="Form published: {{ title }}",
            body="Version {{ version }} of the form “{{ title }}” can be filled in from now on.",
        ),
        "zh": Text(subject="表单已发布：{{ title }}", body="表单“{{ title }}”的第 {{ version }} 版现已可以填写。"),
    },
    "submission.scored": {
        "en": Text(
            subject="{% if to_self %}Your {{ title }}{% else %}{{ agent.name }}: {{ title }}{% endif %}"
            "{% if void %} was taken back{% else %}: {{ score_percent }}%{% endif %}",
            body="{% if void %}The {{ title }} of {{ workday }} was taken back and no longer counts.{% else %}"
            "{% if version > 1 %}Corrected: {% endif %}{% if to_self %}You{% else %}{{ agent.name }}{% endif %} reached "
            "{{ score_percent }}% in “{{ title }}” of {{ workday }}{% if automatic_fail %} (automatic fail){% endif %}."
            "{% endif %}",
        ),
        "zh": Text(
            subject="{% if to_self %}您的{{ title }}{% else %}{{ agent.name }}：{{ title }}{% endif %}"
            "{% if void %}已撤回{% else %}：{{ score_percent }}%{% endif %}",
            body="{% if void %}{{ workday }} 的“{{ title }}”已撤回，不再计分。{% else %}"
            "{% if version > 1 %}更正：{% endif %}{% if to_self %}您{% else %}{{ agent.name }} {% endif %}在 {{ workday }} 的"
            "“{{ title }}”中得到 {{ score_percent }}%{% if automatic_fail %}（自动不合格）{% endif %}。{% endif %}",
        ),
    },
}
