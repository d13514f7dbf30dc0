-- Health of a RAGPipeline for Argo CD: resource.customizations.health.ragops.dev_RAGPipeline in the ConfigMap argocd-cm.
-- Suspended at an approval, Degraded while what Git asks for was rejected or what served does not serve, otherwise as kstatus says.
local health = {status = "Progressing", message = "the operator has not seen it yet"}
local status = obj.status
if status == nil or status.conditions == nil then
  return health
end

local conditions = {}
for _, condition in ipairs(status.conditions) do
  conditions[condition.type] = condition
end

local function is(kind, value)
  return conditions[kind] ~= nil and conditions[kind].status == value
end

health.message = status.message or ""

-- A status about an older spec says nothing about what Git asks for now.
if status.observedGeneration == nil or (obj.metadata.generation or 0) > status.observedGeneration then
  health.message = "the operator has not seen the newest spec yet"
  return health
end

if obj.spec ~= nil and obj.spec.suspend == true then
  health.status = "Suspended"
  return health
end

if is("Stalled", "True") then
  health.status = "Degraded"
  health.message = conditions["Stalled"].message or health.message
  return health
end

local candidate = status.candidate
if candidate ~= nil and candidate.waitingFor ~= nil and candidate.waitingFor ~= "" then
  health.status = "Suspended"
  health.message = "waits for kubectl rag promote (" .. candidate.revision .. "/" .. candidate.waitingFor .. "): " .. (candidate.held or "")
  return health
end

-- The operator may be bringing it back: that nobody is answered meanwhile is no progress.
if status.phase == "Degraded" then
  health.status = "Degraded"
  if is("Ready", "False") then
    health.message = conditions["Ready"].message or health.message
  end
  return health
end

if is("Reconciling", "True") then
  return health
end

if is("Ready", "True") then
  health.status = "Healthy"
end
return health
