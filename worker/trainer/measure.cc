#include "worker/trainer/measure.h"

#include "nlohmann/json.hpp"

namespace allometry::trainer {

std::string MeasurementJson(const Measurement& measurement, const std::string& trainer_build,
                            const std::string& device_model) {
  const nlohmann::ordered_json json = {{"update_s", measurement.update_s},
                                       {"update_cpu_s", measurement.update_cpu_s},
                                       {"evaluation_s", measurement.evaluation_s},
                                       {"checkpoint_s", measurement.checkpoint_s},
                                       {"measuring_s", measurement.measuring_s},
                                       {"updates", measurement.updates},
                                       {"peak_memory_bytes", measurement.peak_memory_bytes},
                                       {"step_backend", measurement.step_backend},
                                       {"trainer_build", trainer_build},
                                       {"device_model", device_model}};
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace allometry::trainer
