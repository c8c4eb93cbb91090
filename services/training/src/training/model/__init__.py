"""The pure rules of training: content and quizzes, assignment rules, effect, the blueprint section."""
