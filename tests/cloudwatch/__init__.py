"""Stand-ins for the parts of CloudWatch that the local AWS lacks, for tests.

`metric_math`, `metrics_insights`, `search` and `queries` evaluate the metrics of a dashboard, an alarm or GetMetricData.
`logs_insights` runs queries on log events. `alarms` computes the states of alarms. `render` draws a dashboard as an HTML page.

Each rule comes from a page of AWS's documentation that the doc comment names (read in November 2026). Whatever a module does
not know, it refuses with `Refused`. An empty result always means that there are no data.
"""
