# uPlot, which draws the charts of `allo web` (cmake/fetch_uplot.sh). ALLOMETRY_UPLOT_DIR or UPLOT name
# a folder that holds uPlot.iife.min.js and uPlot.min.css.
set(default_uplot "$ENV{UPLOT}")
if(NOT default_uplot)
  if(DEFINED ENV{XDG_CACHE_HOME})
    set(default_uplot "$ENV{XDG_CACHE_HOME}/allometry/uplot-1.6.31")
  else()
    set(default_uplot "$ENV{HOME}/.cache/allometry/uplot-1.6.31")
  endif()
endif()
set(ALLOMETRY_UPLOT_DIR "${default_uplot}" CACHE PATH "uPlot 1.6: the folder with uPlot.iife.min.js and uPlot.min.css")

if(NOT EXISTS "${ALLOMETRY_UPLOT_DIR}/uPlot.min.css")
  execute_process(COMMAND "${CMAKE_CURRENT_LIST_DIR}/fetch_uplot.sh")
endif()
if(NOT EXISTS "${ALLOMETRY_UPLOT_DIR}/uPlot.min.css")
  message(FATAL_ERROR "No uPlot in '${ALLOMETRY_UPLOT_DIR}' (uPlot.min.css is missing): run 'make setup', "
                      "or name one with UPLOT=")
endif()
