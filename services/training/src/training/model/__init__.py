"""The pure rules of training: content and quizzes, assignment rules, stays, effect, the blueprint section."""
