"""A shift file that is taken."""

GOOD = """
time_zone: Europe/Berlin
lead_minutes: 15
holidays: [2026-12-25]
extra_days: [{date: 2026-12-20, like: mon}]
services:
  ingest:
    api:
      min: 2
      max: 12
      windows:
        - {name: day, days: mon-fri, from: 08:00, to: 20:00, replicas: 6}
        - {name: peak, days: mon, from: "10:00", to: "12:00", replicas: 8}
        - {name: night, days: [sat, sun], from: 22:00, to: 06:00, replicas: 3}
    work: {min: 1, max: 6}
"""
