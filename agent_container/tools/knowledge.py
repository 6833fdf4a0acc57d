"""The company's knowledge base."""

from agent_container.tools.desk import Desk
from agent_container.tools.registry import Result, tool
from agent_container.tools.text import clean

_MOST_ARTICLES = 3
_MOST_STEPS = 8


@tool
async def search_knowledge(desk: Desk, query: str) -> Result:  # noqa: D417
    """Find instructions in the company's knowledge base.

    Call this before you give any technical advice; never advise from memory. Give the caller one
    step at a time and ask whether it helped.

    Args:
        query: The problem in a few words, in the caller's language.
    """
    found = await desk.connector.search_articles(
        clean(query, 300),
        language=desk.state.language,
        audience="internal" if desk.state.level >= 1 else "public",
        limit=_MOST_ARTICLES,
    )
    desk.state.articles.update({article.id: article for article in found})
    return {
        "articles": [
            {
                "id": article.id,
                "title": clean(article.title, 120),
                "summary": clean(article.summary, 300),
                "steps": [clean(step, 240) for step in article.steps[:_MOST_STEPS]],
            }
            for article in found
        ]
    }
