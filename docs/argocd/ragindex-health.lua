-- Health of a RAGIndex for Argo CD: resource.customizations.health.ragops.dev_RAGIndex in the ConfigMap argocd-cm.
local health = {status = "Progressing", message = "the index is being built"}
if obj.spec ~= nil and obj.spec.collecting == true then
  health.message = "the index is being removed"
  return health
end
for _, condition in ipairs((obj.status or {}).conditions or {}) do
  if condition.type == "Ready" and condition.status == "True" then
    health.status = "Healthy"
    health.message = condition.message or ""
  elseif condition.type == "Ready" then
    health.message = condition.message or health.message
  end
end
return health
